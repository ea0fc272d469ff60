"""Pictures that a catalogue names by web address only: fetched, checked, shrunk once, kept in the dataset folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from data_tools.downloads import DownloadLimits, FetchError, download
from data_tools.images import UnreadableImageError, shrunk
from data_tools.writing import picture_stem, write_column
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.files import replacing, write_json

FAILURES = "image_failures.json"
"""File in the dataset folder: item id → why its picture was not fetched in the last run."""


@dataclass(frozen=True)
class FetchProgress:
    """How far the fetching is."""

    total: int
    """Items that had an address and no picture when the run began."""
    found: int
    """Of these, pictures that an interrupted run had fetched already."""
    fetched: int
    failed: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Failures by reason."""


def fetch_images(
    folder: str | Path, *, longest_side: int = 224, limits: DownloadLimits | None = None
) -> Generator[FetchProgress]:
    """Fetch the picture of every item that has an `image_url` and no picture; yields a record for each.

    Every picture is decoded, refused if damaged, too large or a decompression bomb, shrunk so that its longest
    side has at most `longest_side` pixels, and stored as JPEG at once. The tables of the folder are replaced in
    one step at the end, also if the iterator is closed or interrupted; after a crash, the next run finds
    what was stored. Failures are tried again by the next run.

    Raises `RefusedError` if the folder is no dataset, its catalogue has no `image_url`, or `longest_side` < 16.
    """
    if longest_side < 16:
        raise RefusedError(f"longest side {longest_side}: pictures need at least 16 pixels; 224 is usual")
    dataset = Dataset.load(folder)
    addresses = _missing(dataset)
    stored = {item_id: dataset.folder / _path_of(item_id) for item_id in addresses}
    wanted = {item_id: address for item_id, address in addresses.items() if not stored[item_id].is_file()}
    found = len(addresses) - len(wanted)
    yield FetchProgress(total=len(addresses), found=found, fetched=0, failed=0)

    def accept(item_id: str, data: bytes) -> None:
        try:
            picture = shrunk(data, longest_side=longest_side)
        except UnreadableImageError as error:
            raise FetchError(f"unreadable: {error}") from None
        with replacing(stored[item_id]) as temporary:
            temporary.write_bytes(picture)

    failures: dict[str, str] = {}
    reasons: Counter[str] = Counter()
    try:
        with closing(download(wanted, accept=accept, limits=limits)) as outcomes:
            for done, outcome in enumerate(outcomes, start=1):
                if outcome.failure is not None:
                    failures[outcome.key] = outcome.failure
                    reasons[outcome.failure.partition(":")[0]] += 1
                yield FetchProgress(
                    total=len(addresses),
                    found=found,
                    fetched=done - len(failures),
                    failed=len(failures),
                    reasons=dict(reasons),
                )
    finally:
        _record(dataset.folder, failures)


def _missing(dataset: Dataset) -> dict[str, str]:
    """Item id → address, of the items that have an address and no picture."""
    if "image_url" not in dataset.items.columns:
        raise RefusedError(
            f"{dataset.folder}: the catalogue has no column `image_url`; import it with one (the amazon kinds have "
            "it, the table kind takes --image-url)"
        )
    missing = dataset.items.filter(pl.col("image").is_null() & pl.col("image_url").is_not_null())
    return dict(missing.select("item_id", "image_url").iter_rows())


def _path_of(item_id: str) -> str:
    return f"images/{picture_stem(item_id)}.jpg"


def _record(folder: Path, failures: Mapping[str, str]) -> None:
    """Name the stored pictures in the catalogue, count them on the card, list the failures."""
    dataset = Dataset.load(folder)  # again, since others may have added to it meanwhile
    images = [
        image or (_path_of(item_id) if url and (dataset.folder / _path_of(item_id)).is_file() else None)
        for item_id, image, url in dataset.items.select("item_id", "image", "image_url").iter_rows()
    ]
    named = pl.Series("image", images, dtype=pl.String)
    write_column(dataset, named, counts={"images": named.count()})
    write_json(dataset.folder / FAILURES, dict(failures))
