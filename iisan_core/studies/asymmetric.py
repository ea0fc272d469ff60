"""The components of the asymmetric pair, which the paper's discussion leaves open (IISAN-Versa, section 6)."""

from __future__ import annotations

from iisan_core.cache.manifest import read_manifest
from iisan_core.config import RunConfig
from iisan_core.errors import RefusedError
from iisan_core.studies.changes import need_modalities, only, with_model
from iisan_core.studies.layers import layers
from iisan_core.studies.study import Row, Study


def asymmetric(base: RunConfig, *, uncached_epochs: int = 1) -> Study:
    """DTL per block, shared and frozen; layer choices; each network and each modality alone; cached and uncached.

    The last two are trained for `uncached_epochs`, as backbones run in every step of the one; 0 leaves both out.
    Raises `RefusedError` for caches of equal width, which need no dimension transformation.
    """
    need_modalities(base, least=2, study="asymmetric")
    widths = {name: read_manifest(folder).widths[-1] for name, folder in base.caches.items()}
    if len(set(widths.values())) == 1:
        raise RefusedError(
            f"the caches' last layers have equal widths, {widths}, so no dimension transformation is at work; choose "
            "backbones of unequal widths with --cache"
        )
    as_is = with_model(base, {"intra": True, "inter": True, "transformation": "block"})
    rows = [
        Row("DTL per block", as_is, {"component": "transformation"}),
        Row("DTL shared", with_model(as_is, {"transformation": "shared"}), {"component": "transformation"}),
        Row("DTL frozen", with_model(as_is, {"transformation": "frozen"}), {"component": "transformation"}),
        *(Row(f"layers {row.name}", row.config, {"component": "layers"}) for row in _choices(as_is)),
        Row("intra only", with_model(as_is, {"inter": False}), {"component": "networks"}),
        Row("inter only", with_model(as_is, {"intra": False}), {"component": "networks"}),
        *(Row(f"{name} only", only(as_is, [name]), {"component": "networks"}) for name in as_is.caches),
        *_with_and_without_cache(as_is, uncached_epochs),
    ]
    return Study("asymmetric", "What does each component of an asymmetric pair add?", tuple(rows))


def _choices(config: RunConfig) -> tuple[Row, ...]:
    """The layers study's rows, where the caches leave a choice."""
    if all(len(read_manifest(folder).layers) < 2 for folder in config.caches.values()):
        return ()
    return layers(config).rows


def _with_and_without_cache(config: RunConfig, epochs: int) -> list[Row]:
    """The same few epochs of the same configuration, so that quality and seconds can be told apart."""
    if not epochs:
        return []
    epochs = min(epochs, config.training.epochs)
    short = config.model_copy(update={"training": config.training.model_copy(update={"epochs": epochs})})
    length = f"{epochs} epoch{'s' if epochs > 1 else ''}"
    return [
        Row(f"cached, {length}", short, {"component": "cache"}),
        Row(f"uncached, {length}", short, {"component": "cache"}, uncached=True),
    ]
