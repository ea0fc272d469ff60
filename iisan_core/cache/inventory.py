"""The caches that lie side by side in a folder: what each is, what it takes, and which of them can go."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from iisan_core.cache.inputs import CatalogueInputs, inputs_of
from iisan_core.cache.manifest import MANIFEST, STATES, VECTORS, CacheFacts, read_manifest
from iisan_core.cache.store import HiddenStateCache
from iisan_core.cache.writer import only_one
from iisan_core.data.dataset import FILE_COLUMNS, Dataset
from iisan_core.errors import RefusedError


@dataclass(frozen=True)
class Removable:
    """A cache that serves the dataset no more, and why."""

    cache: CacheFacts
    reason: str


def caches_in(folder: Path) -> list[CacheFacts]:
    """The caches in a folder of caches, by name; none where there is no such folder."""
    return [
        _look_at(path) for path in sorted(folder.glob("*")) if any((path / n).is_file() for n in (MANIFEST, STATES))
    ]


def removable(folder: Path, dataset: Dataset) -> list[Removable]:
    """Caches in `folder` that are unfinished, damaged, or no longer of the dataset's items and texts or pictures.

    Reads the catalogue's texts, or every picture's bytes, once per kind of input.
    """
    read: dict[tuple[str, tuple[str, ...] | None], CatalogueInputs] = {}
    return [Removable(cache, reason) for cache in caches_in(folder) for reason in _reasons(cache, dataset, read)]


def remove(folder: Path) -> None:
    """Remove a cache; raises `RefusedError` while an extraction into it goes on."""
    with only_one(folder):
        (folder / MANIFEST).unlink(missing_ok=True)  # nobody shall take what is left for a cache
        shutil.rmtree(folder)


def _look_at(folder: Path) -> CacheFacts:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    try:
        manifest = read_manifest(folder)
        if manifest.complete:
            HiddenStateCache.open(folder)
    except RefusedError as error:
        return CacheFacts(folder, None, size, str(error))
    return CacheFacts(folder, manifest, size)


def _reasons(
    cache: CacheFacts, dataset: Dataset, read: dict[tuple[str, tuple[str, ...] | None], CatalogueInputs]
) -> Iterator[str]:
    """At most one reason why the cache can go; `read` keeps the inputs that were read already."""
    manifest = cache.manifest
    if manifest is None:
        yield cache.problem
    elif cache.state == "unfinished":
        yield "unfinished; `iisan extract` would resume it"
    elif manifest.kind == VECTORS:
        lacking = HiddenStateCache.open(cache.folder).changed_items(inputs_of(dataset, VECTORS, text_fields=None))
        if lacking:
            yield f"made for a catalogue without {len(lacking):,} of its items; `iisan data vectors` makes one anew"
    elif manifest.kind in FILE_COLUMNS and manifest.kind not in dataset.items.columns:
        yield f"made from the column {manifest.kind!r}, which the catalogue lacks"
    elif set(manifest.text_fields or ()) - set(dataset.text_columns):
        yield f"made from the columns {list(manifest.text_fields or ())}, of which the catalogue lacks some"
    else:
        kind = (manifest.kind, manifest.text_fields)
        if kind not in read:
            read[kind] = inputs_of(dataset, manifest.kind, text_fields=manifest.text_fields)
        changed = len(HiddenStateCache.open(cache.folder).changed_items(read[kind]))
        if changed:
            yield (
                f"{changed:,} of {len(read[kind].item_ids):,} items are new or changed; `iisan extract` would add "
                "only these"
            )
