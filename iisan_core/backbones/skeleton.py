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
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoConfig, AutoModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from iisan_core.backbones.base import Modality
from iisan_core.backbones.live_bytes import LiveBytes
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
    head_parameters: int
    """Of a decoder's language-model head, which stands in its files where it is no copy of the embedding."""
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

    @torch.no_grad()
    def activation_bytes(self, size: int) -> int | None:
        """The most bytes of float32 activations alive at once in a pass over one item of `size` tokens or pixels.

        Weights are left out; several items at once take as many times more. None where a model cannot be run without
        content.
        """
        try:
            with _FusedAttention(), LiveBytes() as live:
                _run(self.model, self.modality, size)
        except RuntimeError:
            return None
        return live.peak

    @property
    def _parameters_in_products(self) -> int:
        embedding = sum(m.weight.numel() for m in self.model.modules() if isinstance(m, nn.Embedding))
        return self.parameters - embedding


class _FusedAttention(TorchFunctionMode):
    """Attention as its kernels do it, without the table of all pairs that the meta device would make."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is nn.functional.scaled_dot_product_attention:
            query, _, value = args[:3]
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return func(*args, **(kwargs or {}))


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
        head_parameters=_head(config),
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
        tokens = torch.zeros(1, size or 4, dtype=torch.long, device="meta")
        # Without a mask, decoders look into the positions for packed texts; there is nothing to look into.
        masked = {"attention_mask": torch.ones(1, 1, size or 4, size or 4, dtype=torch.bool, device="meta")}
        given = masked if _writes(model.config) else {}
        return model(input_ids=tokens, output_hidden_states=output_hidden_states, return_dict=True, **given)
    side = size or _image_size(model.config)
    pixels = torch.zeros(1, 3, side, side, device="meta")
    resized = side != _image_size(model.config) and "interpolate_pos_encoding" in signature(model.forward).parameters
    options = {"interpolate_pos_encoding": True} if resized else {}
    return model(pixel_values=pixels, output_hidden_states=output_hidden_states, return_dict=True, **options)


def _image_size(config: Any) -> int:
    """The side that the configuration names, else 224, on which nearly all models were trained."""
    size = getattr(config, "image_size", 224)
    return int(size if isinstance(size, int) else size[0])


def _writes(config: Any) -> bool:
    """Whether a configuration is of a decoder."""
    return config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and type(config) not in MODEL_FOR_MASKED_LM_MAPPING


def _head(config: Any) -> int:
    is_decoder = (
        config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and type(config) not in MODEL_FOR_MASKED_LM_MAPPING
    )
    if not is_decoder or getattr(config, "tie_word_embeddings", True):
        return 0
    return int(config.vocab_size * config.hidden_size)


def _count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
