"""What else reads a dataset, a cache or a run: to be named before it goes, and mended when its name changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from iisan_core.cache.manifest import MANIFEST, CacheManifest, read_manifest
from iisan_core.config.schema import RunConfig
from iisan_core.errors import RefusedError
from iisan_core.runs.run_folder import CONFIG, RunFolder
from iisan_core.runs.workspace import Workspace

Kind = Literal["run", "cache"]
SHELVES: dict[Kind, str] = {"run": "runs", "cache": "caches"}


@dataclass(frozen=True)
class Dependent:
    """Something that reads what is asked about."""

    kind: Kind
    path: Path
    record: RunConfig | CacheManifest
    how: str
    """In which way, in a few words."""

    @property
    def name(self) -> str:
        """Its folder; of a study's run, with the study's."""
        last, shelf = self.path.parts[-3:], SHELVES[self.kind]
        return "/".join(last[last.index(shelf) + 1 :]) if shelf in last else self.path.name


def of_dataset(workspace: Workspace, folder: Path) -> list[Dependent]:
    """Caches that were made from a dataset, and runs that were trained on it, studies' included."""
    here = folder.resolve()
    caches = [
        Dependent("cache", path, manifest, "holds its hidden states")
        for path, manifest in _manifests(workspace)
        if manifest.dataset_folder and Path(manifest.dataset_folder).resolve() == here
    ]
    runs = [
        Dependent("run", path, config, "was trained on it")
        for path, config in _configs(workspace)
        if config.dataset.resolve() == here
    ]
    return [*caches, *runs]


def of_run(workspace: Workspace, folder: Path) -> list[Dependent]:
    """Runs that blend a run, or started from its weights."""
    here = folder.resolve()
    return [
        Dependent("run", path, config, "blends it" if _is_in(here, config.members) else "started from its weights")
        for path, config in _configs(workspace)
        if path.resolve() != here and _is_in(here, [*config.members, config.start_from])
    ]


def of_cache(workspace: Workspace, folder: Path) -> list[Dependent]:
    """Runs that were trained on a cache."""
    here = folder.resolve()
    return [
        Dependent("run", path, config, "was trained on it")
        for path, config in _configs(workspace)
        if _is_in(here, list(config.caches.values()))
    ]


def _is_in(here: Path, places: list[Any]) -> bool:
    return any(place is not None and Path(place).resolve() == here for place in places)


def _configs(workspace: Workspace) -> Iterator[tuple[Path, RunConfig]]:
    """Runs, and runs of studies, that can be read."""
    for pattern in (f"*/{CONFIG}", f"*/*/{CONFIG}"):
        for path in sorted(workspace.runs.glob(pattern)):
            if any(part.startswith(".") for part in path.relative_to(workspace.runs).parts):
                continue
            try:
                yield path.parent, RunFolder(path.parent).config()
            except (RefusedError, OSError):
                continue


def _manifests(workspace: Workspace) -> Iterator[tuple[Path, CacheManifest]]:
    for path in sorted((workspace.root / "caches").glob(f"*/*/{MANIFEST}")):
        try:
            yield path.parent, read_manifest(path.parent)
        except (RefusedError, OSError):
            continue
