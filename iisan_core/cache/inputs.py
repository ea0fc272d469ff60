"""What a cache is made from: the texts or files of a dataset, and a fingerprint of each."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from iisan_core.cache.digests import fingerprints_of
from iisan_core.cache.manifest import VECTORS, Kind
from iisan_core.data.dataset import Dataset, TextAndPicture
from iisan_core.files import sha256_of_texts


@dataclass(frozen=True)
class CatalogueInputs:
    """Per item, in the dataset's order: its id, its text or the path of its file, and the SHA-256 of its content."""

    item_ids: list[str]
    values: Sequence[str | Path | TextAndPicture | None]
    """None where the catalogue has no text or names no file; of joint states, where it has neither."""
    fingerprints: list[str | None]
    """None where there is nothing to read, be it not named or not there."""

    def of(self, item_ids: Collection[str]) -> CatalogueInputs:
        """The part about some items, in the same order."""
        rows = [row for row, item_id in enumerate(self.item_ids) if item_id in item_ids]
        return CatalogueInputs(
            [self.item_ids[row] for row in rows],
            [self.values[row] for row in rows],
            [self.fingerprints[row] for row in rows],
        )

    @cached_property
    def ids_sha256(self) -> str:
        """Hash of the item ids and their order."""
        return sha256_of_texts(self.item_ids)

    @cached_property
    def inputs_sha256(self) -> str:
        """Hash of all texts or files and their order."""
        return sha256_of_fingerprints(self.fingerprints)


def sha256_of_fingerprints(fingerprints: Sequence[str | None]) -> str:
    """Hash of many inputs by their own fingerprints, in order."""
    return sha256_of_texts([fingerprint or "" for fingerprint in fingerprints])


def inputs_of(dataset: Dataset, kind: Kind, *, text_fields: tuple[str, ...] | None) -> CatalogueInputs:
    """Texts or files of a dataset with their fingerprints; reads the bytes of files that changed since the last time.

    Of states that came as numbers, the catalogue knows the items only. Raises `RefusedError` if the catalogue has no
    such column.
    """
    item_ids = dataset.items["item_id"].to_list()
    if kind == VECTORS:
        return CatalogueInputs(item_ids, [None] * len(item_ids), [None] * len(item_ids))
    if kind == "text":
        texts = dataset.texts(text_fields or ("title",))
        return CatalogueInputs(item_ids, texts, [_of_text(text) for text in texts])
    if kind == "joint":
        return _joint_inputs(dataset, item_ids, text_fields or ("title",))
    paths = dataset.file_paths(kind)
    return CatalogueInputs(item_ids, paths, fingerprints_of(dataset.folder, paths))


def _joint_inputs(dataset: Dataset, item_ids: list[str], text_fields: tuple[str, ...]) -> CatalogueInputs:
    pairs = dataset.texts_and_pictures(text_fields)
    texts = [_of_text(pair.text) if pair else None for pair in pairs]
    pictures = fingerprints_of(dataset.folder, [pair.picture if pair else None for pair in pairs])
    of_both = zip(pairs, texts, pictures, strict=True)
    found = [sha256_of_texts([text or "", picture or ""]) if pair else None for pair, text, picture in of_both]
    return CatalogueInputs(item_ids, pairs, found)


def _of_text(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()
