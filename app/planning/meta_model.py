"""A backbone without its weights: layers, widths, parameters and work, from the configuration alone.

The model is built on torch's meta device, where tensors have shapes and no content, so an 80-layer model costs no
memory; its forward pass there tells the hidden states' shapes and the number of operations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import MODEL_FOR_MASKED_LM_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from app.planning.memory_tracker import MemoryTracker
from iisan_core.backbones.audio import PICTURED, WAVE, silence
from iisan_core.backbones.hooks import find_hook_points
from iisan_core.backbones.hub import NO_PROGRAMS
from iisan_core.backbones.loading import TOWERS, auto_class, tower_of, why_not_loaded
from iisan_core.backbones.probes import FAILURES
from iisan_core.cache.manifest import WITH_TEXT
from iisan_core.config.schema import Modality
from iisan_core.errors import RefusedError, first_sentence

PATCH = 14
"""Pixels: the side of a patch of large vision transformers."""

CAUSAL = ("clip_text_model",)
"""Text encoders that read forward only, though they are no language models."""

PICTURE_TOKENS, PICTURE_PATCHES = 256, 1024
"""Of a picture: how many tokens of a prompt it becomes in most vision-language models, and of how many patches."""

STRIDE = 320
"""Samples of a sound per token, of Wav2Vec2, HuBERT and Whisper."""


@dataclass(frozen=True)
class MetaModel:
    """The shape of a backbone for one modality."""

    name: str
    modality: Modality
    widths: tuple[int, ...]
    """D of each layer 0 … n."""
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
    extractor: Any = None
    """Feature extractor of an audio model, which says what it makes of a sound; None for other models."""
    beside_parameters: int = 0
    """Of what a vision-language model has beside its language model, which is `model`."""

    def flops(self, size: int) -> int:
        """Floating-point operations of one item of `size` (see `positions`); a multiplication and an addition are two.

        Where a model cannot be run without content, two operations per parameter and position, embeddings left out.
        """
        try:
            with FlopCounterMode(display=False) as counter:
                _run(self.model, self._blank(size))
        except FAILURES:
            return 2 * self._parameters_in_products * positions(self.modality, size) + self._flops_of_picture
        return int(counter.get_total_flops()) + self._flops_of_picture

    @property
    def first_token_is_blind(self) -> bool:
        """Whether a text's first token sees nothing after it, as far as the configuration tells."""
        config: Any = self.model.config
        return self.modality == "text" and (_is_decoder(config) or config.model_type in CAUSAL)

    @torch.no_grad()
    def activation_bytes(self, size: int) -> int | None:
        """The most bytes of float32 activations alive at once in a pass over one item of `size`.

        Weights and inputs are left out; several items at once take as many times more. None where a model cannot be
        run without content.
        """
        given = self._blank(size)
        try:
            with _FusedAttention(), MemoryTracker() as live:
                _run(self.model, given)
        except FAILURES:
            return None
        return live.peak

    def input_bytes(self, size: int) -> int:
        """Bytes of what the model is given of one item of `size`."""
        if self.modality == "audio":  # with the mask over samples, which the model gets only beside others
            return sum(made.nbytes for made in silence(self.extractor, samples=size).values())
        return sum(given.nbytes for given in self._blank(size).values() if isinstance(given, Tensor))

    def _blank(self, size: int) -> dict[str, Any]:
        return _blank(self.model, self.modality, size, extractor=self.extractor)

    @property
    def _flops_of_picture(self) -> int:
        """Of what a vision-language model does to a picture before its language model."""
        return 2 * self.beside_parameters * PICTURE_PATCHES

    @property
    def _parameters_in_products(self) -> int:
        return (
            self.parameters
            - self.beside_parameters
            - sum(_count(m) for m in self.model.modules() if isinstance(m, nn.Embedding))
        )


def positions(modality: Modality, size: int) -> int:
    """How many vectors a layer has for an input of `size`: tokens of a text or prompt, pixels of a picture's
    (or a video's frame's) side with the usual patches, samples of a sound."""
    if modality == "audio":
        return size // STRIDE
    return size if modality in WITH_TEXT else (size // PATCH) ** 2


def meta_model_of(
    config: Any, modality: Modality, name: str, *, extractor: Callable[[], Any] = lambda: None
) -> MetaModel:
    """The meta model of a configuration; `extractor` loads the feature extractor of an audio model.

    Raises `RefusedError` where the auto classes know no such model or it has no tower of that modality.
    """
    try:
        with torch.device("meta"):
            model = auto_class(modality).from_config(config, **NO_PROGRAMS).eval()
    except Exception as error:  # models raise what they like at a configuration that makes no sense
        raise RefusedError(f"{name} cannot be built from its configuration: {why_not_loaded(name, error)}") from error
    tower = tower_of(model, modality, name)
    total = _count(tower if modality == "joint" else model)  # the head of a vision-language model is not kept
    run = _language_model(tower) if modality == "joint" else tower
    stored = getattr(config, "dtype", None)
    reader = extractor() if modality == "audio" else None
    return MetaModel(
        name=name,
        modality=modality,
        widths=_widths(run, modality, reader),
        parameters=_count(tower),
        total_parameters=total,
        bytes_per_parameter=stored.itemsize if isinstance(stored, torch.dtype) else 4,
        head_parameters=_head(config.get_text_config() if modality == "joint" else config),
        image_size=_image_size(tower.config) if modality in ("image", "video") else None,
        model=run,
        extractor=reader,
        beside_parameters=_count(tower) - _count(run),
    )


def _language_model(model: Any) -> Any:
    """The part of a vision-language model whose layers are its hidden states, and that tokens alone go through."""
    return next((getattr(model, name) for name in TOWERS["text"] if hasattr(model, name)), model)


def _widths(tower: Any, modality: Modality, extractor: Any) -> tuple[int, ...]:
    given = _blank(tower, modality, None, extractor=extractor)
    try:
        found = find_hook_points(tower, lambda: _run(tower, given, output_hidden_states=True))
    except FAILURES as error:  # a few models look at their input's content, which is not there, or take more of it
        config = tower.config
        layers = getattr(config, "num_hidden_layers", None) or getattr(config, "depth", None)
        width = getattr(config, "hidden_size", None) or getattr(config, "embed_dim", None)
        if not (isinstance(layers, int) and isinstance(width, int)):
            raise RefusedError(
                f"the layers of a {config.model_type} model cannot be told without its weights "
                f"({first_sentence(error)}); plan with another backbone, or extract from a few items first"
            ) from error
        return (width,) * (layers + 1)
    return tuple(h.shape[1] if h.dim() == 4 else h.shape[-1] for _, h in found)


@torch.no_grad()
def _run(model: Any, given: dict[str, Any], *, output_hidden_states: bool = False) -> Any:
    return model(**given, output_hidden_states=output_hidden_states, return_dict=True)


def _blank(model: Any, modality: Modality, size: int | None, *, extractor: Any) -> dict[str, Any]:
    """Arguments of the model's forward for one item of `size` without content, on the meta device."""
    if modality in WITH_TEXT:
        tokens = torch.zeros(1, size or 4, dtype=torch.long, device="meta")
        # Without a mask, decoders look into the positions for packed texts; there is nothing to look into.
        masked = {"attention_mask": torch.ones(1, 1, size or 4, size or 4, dtype=torch.bool, device="meta")}
        return {"input_ids": tokens} | (masked if modality == "joint" or _is_decoder(model.config) else {})
    if modality == "audio":
        made = silence(extractor, samples=size or extractor.sampling_rate)
        return {name: made[name].to("meta") for name in (PICTURED, WAVE) if name in made}
    side = size or _image_size(model.config)
    resized = side != _image_size(model.config) and "interpolate_pos_encoding" in signature(model.forward).parameters
    options = {"interpolate_pos_encoding": True} if resized else {}
    return {"pixel_values": torch.zeros(1, 3, side, side, device="meta")} | options


def _image_size(config: Any) -> int:
    """The side that the configuration names, else 224, on which nearly all models were trained."""
    size = getattr(config, "image_size", 224)
    return int(size if isinstance(size, int) else size[0])


def _is_decoder(config: Any) -> bool:
    return config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and type(config) not in MODEL_FOR_MASKED_LM_MAPPING


def _head(config: Any) -> int:
    """Parameters of a decoder's language-model head that are no copy of its embedding."""
    if not _is_decoder(config) or getattr(config, "tie_word_embeddings", True):
        return 0
    return int(config.vocab_size * config.hidden_size)


def _count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


class _FusedAttention(TorchFunctionMode):
    """Attention as its kernels do it, without the table of all pairs that the meta device would make."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is nn.functional.scaled_dot_product_attention:
            query, _, value = args[:3]
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return func(*args, **(kwargs or {}))
