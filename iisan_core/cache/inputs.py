"""What a cache is made from: the texts or pictures of a dataset, and a fingerprint of each."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from iisan_core.dataset import Dataset
from iisan_core.files import sha256_of_file, sha256_of_texts


@dataclass(frozen=True)
class CatalogueInputs:
    """Per item, in the dataset's order: its id, its text or picture path, and the SHA-256 of its content."""

    item_ids: list[str]
    values: Sequence[str | Path | None]
    """None where the catalogue has no text or names no picture."""
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

    @property
    def ids_sha256(self) -> str:
        """Hash of the item ids and their order."""
        return sha256_of_texts(self.item_ids)

    @property
    def inputs_sha256(self) -> str:
        """Hash of all texts or pictures and their order."""
        return sha256_of_fingerprints(self.fingerprints)


def sha256_of_fingerprints(fingerprints: Sequence[str | None]) -> str:
    """Hash of many inputs by their own fingerprints, in order."""
    return sha256_of_texts([fingerprint or "" for fingerprint in fingerprints])


def inputs_of(
    dataset: Dataset, modality: Literal["text", "image"], *, text_fields: tuple[str, ...] | None
) -> CatalogueInputs:
    """Texts or pictures of a dataset with their fingerprints; reads every picture's bytes once."""
    item_ids = dataset.items["item_id"].to_list()
    if modality == "text":
        texts = dataset.texts(text_fields or ("title",))
        return CatalogueInputs(item_ids, texts, [_of_text(text) for text in texts])
    paths = dataset.image_paths()
    with ThreadPoolExecutor() as readers:
        return CatalogueInputs(item_ids, paths, list(readers.map(_of_picture, paths)))


def _of_text(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def _of_picture(path: Path | None) -> str | None:
    try:
        return None if path is None else sha256_of_file(path)
    except OSError:  # reported by item when the picture is read for its states
        return None
