"""What larger encoders buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from iisan_core.cache.manifest import CacheManifest, read_manifest
from iisan_core.config import RunConfig
from iisan_core.errors import RefusedError
from iisan_core.studies.study import Row, Study


def scaling(base: RunConfig, caches: Mapping[str, Sequence[Path]]) -> Study:
    """Every combination of one cache per modality, smaller backbones first; `caches` are of one dataset.

    Raises `RefusedError` where there is one combination only, so that nothing can be compared.
    """
    manifests = {name: _by_size(folders) for name, folders in caches.items()}
    combinations = list(product(*(manifests[name].items() for name in manifests)))
    if len(combinations) < 2:
        raise RefusedError(
            f"there is one cache for each of {', '.join(caches)}, so nothing to compare; extract with another backbone"
        )
    rows = []
    for combination in combinations:
        chosen = dict(zip(manifests, combination, strict=True))
        config = base.model_copy(update={"caches": {name: folder for name, (folder, _) in chosen.items()}})
        name = " + ".join(f"{_label(manifest)} ({name})" for name, (_, manifest) in chosen.items())
        facts = {f"size_{name}": float(_size(manifest)) for name, (_, manifest) in chosen.items()}
        labels = {f"backbone_{name}": _label(manifest) for name, (_, manifest) in chosen.items()}
        cached = sum(float(manifest.row_bytes) for _, manifest in chosen.values())
        rows.append(Row(name, config, facts | labels | {"bytes_per_item": cached}))
    return Study("scaling", "What do larger encoders buy?", tuple(rows))


def _by_size(folders: Sequence[Path]) -> dict[Path, CacheManifest]:
    manifests = {folder: read_manifest(folder) for folder in folders}
    return dict(sorted(manifests.items(), key=lambda item: _size(item[1])))


def _size(manifest: CacheManifest) -> int:
    """Depth times width: how large the states that could be kept are, whatever the family."""
    return manifest.layers[-1] * manifest.widths[-1]


def _label(manifest: CacheManifest) -> str:
    return Path(manifest.backbone).name
