"""Where things lie by default: one folder for datasets, backbones, caches and runs."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from iisan_core.cache.manifest import MANIFEST, CacheManifest, read_manifest
from iisan_core.dataset import Dataset
from iisan_core.errors import RefusedError

VARIABLE = "IISAN_WORKSPACE"
MODALITY_ORDER = ("image", "text")
"""Fusion order of the default pair (method, section 3)."""


@dataclass(frozen=True)
class Workspace:
    """The five shelves under one root."""

    root: Path

    @classmethod
    def default(cls) -> Workspace:
        """`$IISAN_WORKSPACE`, else `workspace` in the current folder."""
        return cls(Path(os.environ.get(VARIABLE, "workspace")))

    @property
    def datasets(self) -> Path:
        """Dataset folders."""
        return self.root / "datasets"

    @property
    def backbones(self) -> Path:
        """Backbones that the project trained itself."""
        return self.root / "backbones"

    @property
    def runs(self) -> Path:
        """Run folders."""
        return self.root / "runs"

    @property
    def jobs(self) -> Path:
        """Folders of detached jobs that are no trainings."""
        return self.root / "jobs"

    def caches(self, dataset: Dataset) -> Path:
        """Hidden-state caches of a dataset."""
        return self.root / "caches" / dataset.name

    def complete_caches(self, dataset: Dataset) -> dict[Path, CacheManifest]:
        """The finished caches of a dataset, by folder."""
        folders = sorted(path.parent for path in self.caches(dataset).glob(f"*/{MANIFEST}"))
        manifests = {folder: read_manifest(folder) for folder in folders}
        return {folder: manifest for folder, manifest in manifests.items() if manifest.complete}

    def only_caches(self, dataset: Dataset, *, modalities: Collection[str] | None = None) -> dict[str, Path]:
        """The dataset's one cache per modality (of these, unless None), in fusion order.

        Raises `RefusedError` where there is none, or several of a modality so that somebody has to choose.
        """
        chosen: dict[str, Path] = {}
        if modalities is not None and not modalities:
            return chosen
        for folder, manifest in self.complete_caches(dataset).items():
            if modalities is not None and manifest.modality not in modalities:
                continue
            if manifest.modality in chosen:
                raise RefusedError(
                    f"{dataset.name} has several {manifest.modality} caches: {chosen[manifest.modality]} and {folder}; "
                    "choose with --cache"
                )
            chosen[manifest.modality] = folder
        if not chosen:
            wanted = f"{' or '.join(modalities)} cache" if modalities else "cache"
            raise RefusedError(
                f"no {wanted} of {dataset.name} under {self.caches(dataset)}; make one with `iisan extract`"
            )
        return in_fusion_order(chosen)


def in_fusion_order(caches: dict[str, Path]) -> dict[str, Path]:
    """Image before text, further modalities after them as they come."""
    first = [name for name in MODALITY_ORDER if name in caches]
    return {name: caches[name] for name in [*first, *(n for n in caches if n not in first)]}
