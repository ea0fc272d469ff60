"""A model as two files: `model.safetensors` and `config.json`."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from iisan_core.errors import RefusedError
from iisan_core.files import read_json, replacing, write_text
from iisan_core.model.recommender_model import ModelShape, RecommenderModel
from iisan_core.validation import validated

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


def save_model(model: RecommenderModel, folder: Path) -> None:
    """Write weights and shape into `folder`, replacing what was there."""
    write_text(folder / CONFIG, model.shape.model_dump_json(indent=2) + "\n")
    with replacing(folder / WEIGHTS) as path:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)


def load_model(folder: Path) -> RecommenderModel:
    """Build the model that `save_model` wrote, in eval mode on the CPU.

    Raises `RefusedError` if a file is absent, is no safetensors file, or does not fit the shape.
    """
    shape = validated(ModelShape, read_json(folder / CONFIG, what="model"), where=str(folder / CONFIG))
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise RefusedError(f"no weights at {weights}; the run has no best epoch yet")
    model = RecommenderModel(shape)
    try:
        model.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        raise RefusedError(f"{weights} does not fit {folder / CONFIG}: {error}") from None
    return model.eval()
