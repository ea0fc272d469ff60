"""A workspace that was moved or copied: which records still name another place, what is a copy of what, mending.

Records written now need none of this (`config.places`); those of before named absolute places.
"""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from iisan_core.cache.manifest import ITEM_IDS, MANIFEST, read_manifest, write_manifest
from iisan_core.config.places import counterpart, workspace_of
from iisan_core.config.schema import TRACKING, RunConfig, save_config
from iisan_core.data.dataset import DATASET_FILES, Dataset
from iisan_core.errors import RefusedError
from iisan_core.files import write_json
from iisan_core.runs.job_folder import CARD, JobFolder
from iisan_core.runs.run_folder import CONFIG, RunFolder


def was_copied(cache: Path, place: Path, dataset: Dataset) -> bool:
    """Whether a cache that names a dataset in another workspace was copied here together with `dataset`.

    It is a copy where this dataset lies here as that one does there, and one of cache and catalogue has all items of
    the other.
    """
    root = workspace_of(cache / MANIFEST)
    if root is None or counterpart(place, root=root) != dataset.folder.resolve():
        return False
    try:
        held = set(pl.read_parquet(cache / ITEM_IDS, columns=["item_id"])["item_id"])
    except (OSError, pl.exceptions.PolarsError):  # unfinished, or damaged
        return False
    items = set(dataset.items["item_id"])
    return held <= items or items <= held


def same_run(one: RunConfig, other: RunConfig) -> bool:
    """Whether two configurations ask for the same run: equal, or equal but that one names copies of the other's files.

    In a copied workspace, runs of before name the datasets and caches of the original. Who is told of it is no matter.
    """
    other = other.settled_as(one)
    aside: dict[str, Any] = dict.fromkeys(("dataset", "caches", "start_from", "members"), True)
    aside["training"] = set(TRACKING)
    if one.model_dump(exclude=aside) != other.model_dump(exclude=aside) or [*one.caches] != [*other.caches]:
        return False
    if (one.start_from and one.start_from.name) != (other.start_from and other.start_from.name):
        return False
    if [path.name for path in one.members] != [path.name for path in other.members]:
        return False
    pairs = [(one.dataset, other.dataset), *zip(one.caches.values(), other.caches.values(), strict=True)]
    return all(_same_content(place, copy) for place, copy in pairs)


def _same_content(place: Path, copy: Path) -> bool:
    """Whether two dataset folders, or two caches, are one or hold the same records."""
    if place == copy:
        return True
    if (place / MANIFEST).is_file() and (copy / MANIFEST).is_file():
        first, second = (read_manifest(f).model_dump(exclude={"dataset_folder", "backbone"}) for f in (place, copy))
        return first == second and _same_bytes(place / ITEM_IDS, copy / ITEM_IDS)
    return all(_same_bytes(place / name, copy / name) for name in DATASET_FILES)


def _same_bytes(file: Path, other: Path) -> bool:
    return file.is_file() and other.is_file() and filecmp.cmp(file, other, shallow=False)


@dataclass(frozen=True)
class Record:
    """A file of a workspace that names places."""

    path: Path
    elsewhere: tuple[Path, ...]
    """Places in another workspace, copies of which lie here."""
    gone: tuple[Path, ...]
    """Places where nothing is, here or there."""
    mend: Callable[[], None]
    """Names all that lies in the workspace relative to it."""


def records_of(root: Path) -> Iterator[Record]:
    """Runs, caches and jobs of a workspace, those of studies included; what cannot be read is left out."""
    looks: tuple[tuple[str, Callable[[Path], Record]], ...] = (
        ("jobs/*/" + CARD, _job),
        ("caches/*/*/" + MANIFEST, _cache),
    )
    looks += tuple((f"{'*/' * depth}{CONFIG}", _run) for depth in (2, 3))
    for pattern, look in looks:
        for path in sorted(root.resolve().glob(pattern)):
            try:
                yield look(path)
            except (RefusedError, OSError):
                continue


def _run(path: Path) -> Record:
    run = RunFolder.open(path.parent)
    config = run.config()
    places = [config.dataset, *config.caches.values()]
    caches = {name: _here(place, path) for name, place in config.caches.items()}
    mended = config.model_copy(update={"dataset": _here(config.dataset, path), "caches": caches})
    return _record(path, places, [mended.dataset, *caches.values()], mend=lambda: save_config(mended, path))


def _cache(path: Path) -> Record:
    manifest = read_manifest(path.parent)
    named = [Path(manifest.dataset_folder)] if manifest.dataset_folder else []
    here = [_catalogue_here(place, path) for place in named]
    changes = {"backbone": _backbone_here(manifest.backbone, path)}
    if here:
        changes["dataset_folder"] = str(here[0])
    mended = manifest.model_copy(update=changes)
    return _record(path, named, here, mend=lambda: write_manifest(mended, path.parent))


def _job(path: Path) -> Record:
    card = JobFolder.open(path.parent).card()
    return _record(path, [], [], mend=lambda: write_json(path, card.written(path)))


def _record(path: Path, named: list[Path], here: list[Path], *, mend: Callable[[], None]) -> Record:
    elsewhere = tuple(place for place, found in zip(named, here, strict=True) if place != found)
    return Record(path, elsewhere, tuple(place for place in here if not place.exists()), mend)


def _here(place: Path, record: Path) -> Path:
    """The copy of `place` in the record's workspace, if there is one that holds the same; else the place itself."""
    root = workspace_of(record)
    copy = counterpart(place, root=root) if root else None
    return copy if copy is not None and _same_content(place, copy) else place


def _catalogue_here(place: Path, record: Path) -> Path:
    """The same for the dataset that a cache was made from, which may have changed since."""
    root = workspace_of(record)
    copy = counterpart(place, root=root) if root else None
    if copy is None or not (copy / DATASET_FILES[0]).is_file():
        return place
    return copy if was_copied(record.parent, place, Dataset.load(copy)) else place


def _backbone_here(name: str, record: Path) -> str:
    """The same for a backbone; whether its weights are the same is looked at when it is loaded."""
    root = workspace_of(record)
    copy = counterpart(Path(name), root=root) if root and Path(name).is_absolute() else None
    return str(copy) if copy and _same_bytes(Path(name) / "config.json", copy / "config.json") else name
