"""What is left to extract when a catalogue has grown or changed: the new and changed items, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iisan_core.cache.inputs import CatalogueInputs, sha256_of_fingerprints
from iisan_core.cache.manifest import MANIFEST, CacheManifest, read_manifest
from iisan_core.cache.store import HiddenStateCache
from iisan_core.files import sha256_of_texts


@dataclass(frozen=True)
class Work:
    """Rows to write, and the manifest to be."""

    plan: CacheManifest
    """Its `parts` are those of the complete cache that is added to; none for a new cache."""
    inputs: CatalogueInputs
    """Of the rows to write; empty where the cache is up to date."""
    found: CacheManifest | None = None
    """That of the complete cache which was looked at."""


def work_left(folder: Path, plan: CacheManifest, inputs: CatalogueInputs, *, seen: Work | None = None) -> Work:
    """What `folder` lacks of a catalogue; `plan` is the manifest of a new cache.

    A cache in which more rows would be superseded than count is made anew: the room is worth more than the time.
    `seen` is what an earlier look said of the same catalogue; it still holds if the cache has not changed since.
    """
    found = read_manifest(folder) if (folder / MANIFEST).is_file() else None
    if found is None or not found.complete:
        return Work(plan, inputs)
    if seen is not None and seen.found == found:
        return seen
    cache = HiddenStateCache.open(folder)
    new = inputs.of(set(cache.changed_items(inputs)))
    rows = cache.item_ids + new.item_ids
    if len(rows) > 2 * len(set(rows)):
        return Work(plan, inputs, found)
    changes = {
        "items": len(rows),
        "ids_sha256": sha256_of_texts(rows),
        "inputs_sha256": sha256_of_fingerprints(cache.fingerprints + new.fingerprints),
        "parts": cache.manifest.parts,
    }
    return Work(plan.model_copy(update=changes), new, found)
