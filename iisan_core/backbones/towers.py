"""The part of a model that encodes one modality: all of it, a tower of a joint model, or an encoder."""

from __future__ import annotations

from typing import Any

from iisan_core.backbones.base import Modality
from iisan_core.errors import RefusedError

TOWERS: dict[Modality, tuple[str, ...]] = {
    "text": ("text_model", "language_model"),
    "image": ("vision_model", "vision_tower", "visual"),
    "video": ("vision_model", "vision_tower", "visual"),
    "audio": (),
}
"""Where joint models keep the encoder of a modality."""

READS: dict[Modality, tuple[str, ...]] = {
    "text": ("input_ids",),
    "image": ("pixel_values",),
    "video": ("pixel_values",),
    "audio": ("input_values", "input_features"),
}
"""The inputs that make a model one of that modality."""


def is_joint(config: Any) -> bool:
    """Whether a configuration is of a model with a text and a vision tower."""
    return hasattr(config, "text_config") and hasattr(config, "vision_config")


def tower_of(model: Any, modality: Modality, name: str) -> Any:
    """The encoder of `modality` within `model`, which the user calls `name`; raises `RefusedError` if it has none."""
    if is_joint(model.config):
        towers = [getattr(model, tower) for tower in TOWERS[modality] if hasattr(model, tower)]
        if not towers:
            raise RefusedError(f"{name} is a joint model without a {modality} tower that is known here")
        model = towers[0]
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    if model.main_input_name not in READS[modality]:
        wanted = " or ".join(READS[modality])
        raise RefusedError(f"{name} is no {modality} backbone: it reads {model.main_input_name}, not {wanted}")
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = False  # keys and values of a decoder are of no use after the pass
    return model
