"""A configuration with a few things changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iisan_core.config import RunConfig
from iisan_core.errors import RefusedError
from iisan_core.validation import validated


def with_model(config: RunConfig, changes: dict[str, Any]) -> RunConfig:
    """The same run with other values in `model`, checked anew."""
    model = config.model.model_dump() | changes
    return validated(RunConfig, config.model_dump() | {"model": model}, where="a study's configuration")


def only(config: RunConfig, modalities: Sequence[str]) -> RunConfig:
    """The same run on some of its modalities; what was said of the others goes with them."""
    kept = {
        field: {m: v for m, v in getattr(config, field).items() if m in modalities} for field in ("caches", "damage")
    }
    layers = {m: choice for m, choice in config.model.layers.items() if m in modalities}
    values = config.model_dump() | kept | {"model": config.model.model_dump() | {"layers": layers}}
    return validated(RunConfig, values, where="a study's configuration")


def need_modalities(config: RunConfig, *, least: int, study: str) -> None:
    """Raise `RefusedError` for a study that compares more modalities than the run has."""
    if len(config.caches) < least:
        raise RefusedError(
            f"the {study} study needs caches of at least {least} modalities; there are {len(config.caches)} "
            f"({', '.join(config.caches) or 'none'})"
        )
