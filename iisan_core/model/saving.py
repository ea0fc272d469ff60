"""A model as two files: `model.safetensors` and `config.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from iisan_core.config.schema import validated
from iisan_core.errors import RefusedError
from iisan_core.files import checked, read_json, replacing, write_text
from iisan_core.model.recommender import ModelShape, RecommenderModel

WEIGHTS = "model.safetensors"
CONFIG = "config.json"

MOST_LAYERS = 1000
"""Cached layers of all modalities and blocks of the user encoder: what claims more is no model."""


def save_model(model: RecommenderModel, folder: Path) -> None:
    """Write weights and shape into `folder`, replacing what was there."""
    write_text(folder / CONFIG, model.shape.model_dump_json(indent=2) + "\n")
    with replacing(folder / WEIGHTS) as path:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)


def load_model(folder: Path) -> RecommenderModel:
    """Build the model that `save_model` wrote, in eval mode on the CPU.

    Args:
        folder: Holds `model.safetensors` and `config.json`, as `best/` of a run does.

    Raises:
        RefusedError: A file is absent, is no safetensors file, or does not fit the shape; raised before anything as
            large as the shape says is made.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from iisan_core import RecommenderModel, load_model
        >>> from iisan_core.config.schema import ModelConfig
        >>> from iisan_core.model.recommender import ModelShape
        >>> from iisan_core.model.saving import save_model
        >>> config = ModelConfig(bottleneck=4, embedding=8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     shape = ModelShape(widths={"text": (16, 16)}, max_history=3, config=config)
        ...     save_model(RecommenderModel(shape), Path(folder))
        ...     model = load_model(Path(folder))
        >>> model.shape.widths, model.training
        ({'text': (16, 16)}, False)
    """
    shape = validated(ModelShape, read_json(folder / CONFIG, what="model"), where=str(folder / CONFIG))
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise RefusedError(f"no weights at {weights}; the run has no best epoch yet")
    try:
        _check_fits(shape, weights)
        model = RecommenderModel(shape)
        model.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError, TypeError, OverflowError) as error:
        raise RefusedError(f"{weights} does not fit {folder / CONFIG}: {error}") from None
    checked(folder / CONFIG), checked(weights)
    return model.eval()


def _check_fits(shape: ModelShape, weights: Path) -> None:
    """Raise `RefusedError` unless the file holds the model's tensors; only their names and shapes are looked at."""
    with safe_open(weights, framework="pt") as file:
        found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
    depth = sum(len(widths) for widths in shape.widths.values()) + shape.config.blocks
    if depth > MOST_LAYERS:
        raise RefusedError(
            f"{weights.with_name(CONFIG)} names {depth:,} layers and blocks; {MOST_LAYERS:,} are the most"
        )
    with torch.device("meta"), _NothingDrawn():
        expected = {name: tuple(tensor.shape) for name, tensor in RecommenderModel(shape).state_dict().items()}
    for name in sorted(expected.keys() | found.keys()):
        wanted, is_there = expected.get(name), found.get(name)
        if wanted != is_there:
            raise RefusedError(
                f"{weights} does not fit {weights.with_name(CONFIG)}: {name} should be {_dimensions(wanted)} and is "
                f"{_dimensions(is_there)}; take both from one run"
            )


class _NothingDrawn(TorchFunctionMode):
    """Leaves out normal draws: on tensors without content they do nothing, but import torch's compiler (a second)."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return None if func in (Tensor.normal_, nn.init.normal_) else func(*args, **(kwargs or {}))


def _dimensions(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else str(list(shape))
