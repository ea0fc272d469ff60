"""A backbone without its weights: layers, widths, parameters and work, from the configuration alone.

The model is built on torch's meta device, where tensors have shapes and no content, so an 80-layer model costs no
memory; its forward pass there tells the hidden states' shapes and the number of operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel

from iisan_core.backbones.base import Modality
from iisan_core.backbones.taps import find_taps
from iisan_core.backbones.towers import tower_of
from iisan_core.errors import RefusedError


@dataclass(frozen=True)
class Skeleton:
    """The shape of a backbone for one modality."""

    name: str
    modality: Modality
    widths: tuple[int, ...]
    """D of each layer 0 … n_layers."""
    parameters: int
    """Of the encoder of this modality."""
    total_parameters: int
    """Of all that is loaded: of a joint model, both towers."""
    bytes_per_parameter: int
    """As the checkpoint says it is stored; 4 where it does not say."""
    image_size: int | None
    """Side in pixels of the pictures that the model was made for."""
    model: nn.Module
    """On the meta device."""

    @property
    def n_layers(self) -> int:
        """Without layer 0."""
        return len(self.widths) - 1

    def flops(self, size: int) -> int:
        """Floating-point operations of one item of `size` tokens or pixels; a multiplication and an addition are two.

        Where a model cannot be run without content, two operations per parameter and token, embeddings left out.
        """
        try:
            with FlopCounterMode(display=False) as counter:
                _run(self.model, self.modality, size)
        except RuntimeError:
            return 2 * self._parameters_in_products * size
        return int(counter.get_total_flops())

    @property
    def _parameters_in_products(self) -> int:
        embedding = sum(m.weight.numel() for m in self.model.modules() if isinstance(m, nn.Embedding))
        return self.parameters - embedding


def skeleton_of(config: Any, modality: Modality, name: str) -> Skeleton:
    """The skeleton of a model's configuration.

    Raises `RefusedError` where the auto classes know no such model or it has no tower of that modality.
    """
    try:
        with torch.device("meta"):
            model = AutoModel.from_config(config).eval()
    except (ValueError, ImportError) as error:
        raise RefusedError(f"{name} cannot be built from its configuration: {str(error).splitlines()[0]}") from error
    tower = tower_of(model, modality, name)
    stored = getattr(config, "dtype", None)
    return Skeleton(
        name=name,
        modality=modality,
        widths=_widths(tower, modality),
        parameters=_count(tower),
        total_parameters=_count(model),
        bytes_per_parameter=stored.itemsize if isinstance(stored, torch.dtype) else 4,
        image_size=_image_size(tower.config) if modality == "image" else None,
        model=tower,
    )


def config_from(values: dict[str, Any]) -> Any:
    """A configuration from plain data with its `model_type`, as the registry keeps it."""
    return AutoConfig.for_model(**values)


def _widths(tower: Any, modality: Modality) -> tuple[int, ...]:
    try:
        found = find_taps(tower, lambda: _run(tower, modality, None, output_hidden_states=True))
    except RuntimeError:  # a few models look at their input's content, which is not there
        return (tower.config.hidden_size,) * (tower.config.num_hidden_layers + 1)
    return tuple(h.shape[1] if h.dim() == 4 else h.shape[-1] for _, h in found)


@torch.no_grad()
def _run(model: Any, modality: Modality, size: int | None, *, output_hidden_states: bool = False) -> Any:
    if modality == "text":
        given = torch.zeros(1, size or 4, dtype=torch.long, device="meta")
        return model(input_ids=given, output_hidden_states=output_hidden_states, return_dict=True)
    side = size or _image_size(model.config)
    pixels = torch.zeros(1, 3, side, side, device="meta")
    resized = side != _image_size(model.config) and "interpolate_pos_encoding" in signature(model.forward).parameters
    options = {"interpolate_pos_encoding": True} if resized else {}
    return model(pixel_values=pixels, output_hidden_states=output_hidden_states, return_dict=True, **options)


def _image_size(config: Any) -> int:
    """The side that the configuration names, else 224, on which nearly all models were trained."""
    size = getattr(config, "image_size", 224)
    return int(size if isinstance(size, int) else size[0])


def _count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
