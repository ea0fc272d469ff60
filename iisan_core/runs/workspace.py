"""Where things lie by default: one folder for datasets, backbones, caches and runs."""

from __future__ import annotations

import glob
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from iisan_core.cache.manifest import MANIFEST, CacheManifest, read_manifest
from iisan_core.config.places import default_root, written
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.files import sha256_of_texts
from iisan_core.runs.moved import was_copied

MODALITY_ORDER = ("image", "text")
"""Fusion order of the default pair (method, section 3)."""

MARK = 8
"""Hexadecimal digits that tell folders of caches apart whose datasets have one name."""


@dataclass(frozen=True)
class Workspace:
    """The shelves under one root.

    Example:
        >>> workspace = Workspace(folder)
        >>> workspace.runs == folder / "runs"
        True
    """

    root: Path

    @classmethod
    def default(cls) -> Workspace:
        """`$IISAN_WORKSPACE`, else `workspace` in the current folder."""
        return cls(default_root())

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
    def presets(self) -> Path:
        """Presets of one's own."""
        return self.root / "presets"

    @property
    def jobs(self) -> Path:
        """Folders of detached jobs that are no trainings."""
        return self.root / "jobs"

    def caches(self, dataset: Dataset) -> Path:
        """Hidden-state caches of a dataset: a folder of its name.

        Where caches of another dataset of this name, which is still there, lie in it, the name gets a mark of the place
        where this one lies: no two catalogues shall supersede each other's rows.
        """
        shared = self.root / "caches" / dataset.name
        marked = shared.parent.glob(f"{glob.escape(dataset.name)}-{'[0-9a-f]' * MARK}")
        own = sorted(shelf for shelf in marked if _is_of(shelf, dataset))
        if own or not _of_another(shared, dataset):
            return own[0] if own else shared
        return shared.with_name(f"{dataset.name}-{self._mark(dataset)}")

    def _mark(self, dataset: Dataset) -> str:
        """Of the dataset's place; the same wherever the workspace lies, if that holds it."""
        place = written(dataset.folder.resolve(), record=self.root / "caches" / dataset.name)
        return sha256_of_texts([place])[:MARK]

    def complete_caches(self, dataset: Dataset) -> dict[Path, CacheManifest]:
        """The finished caches of a dataset, by folder."""
        manifests = {folder: read_manifest(folder) for folder in _cache_folders(self.caches(dataset))}
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


def _cache_folders(shelf: Path) -> list[Path]:
    return sorted(path.parent for path in shelf.glob(f"*/{MANIFEST}"))


def _of_another(shelf: Path, dataset: Dataset) -> bool:
    """Whether the caches in `shelf` were made from another folder, which still holds a dataset."""
    still_there = any((place / "dataset.json").is_file() for place in _named_in(shelf).values())
    return still_there and not _is_of(shelf, dataset)


def _is_of(shelf: Path, dataset: Dataset) -> bool:
    """Whether a cache in `shelf` was made from this dataset's folder, or copied here together with it."""
    here = dataset.folder.resolve()
    return any(place == here or was_copied(cache, place, dataset) for cache, place in _named_in(shelf).items())


def _named_in(shelf: Path) -> dict[Path, Path]:
    """Cache → the dataset folder that its manifest names."""
    found = {}
    for folder in _cache_folders(shelf):
        with suppress(RefusedError):  # a damaged one says nothing
            if place := read_manifest(folder).dataset_folder:
                found[folder] = Path(place)
    return found


def in_fusion_order(caches: dict[str, Path]) -> dict[str, Path]:
    """Image before text, further modalities after them as they come."""
    first = [name for name in MODALITY_ORDER if name in caches]
    return {name: caches[name] for name in [*first, *(n for n in caches if n not in first)]}
