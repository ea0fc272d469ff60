"""A dataset cut down: k-core, longer users, without duplicates or repeats; what is dropped is counted by reason."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_tools.images import FolderImages
from data_tools.writing import default_name, write_dataset
from iisan_core.data.dataset import FILE_COLUMNS, Dataset
from iisan_core.errors import RefusedError

EVENT = ("user_id", "item_id", "timestamp")


def k_core(log: pl.DataFrame, k: int) -> pl.DataFrame:
    """The largest part of a log in which every user and every item has at least `k` interactions; may be empty."""
    users, items = (log[column].cast(pl.Categorical).to_physical().to_numpy() for column in EVENT[:2])
    kept = np.ones(log.height, dtype=bool)
    while True:
        enough = kept & (np.bincount(users[kept], minlength=_codes(users))[users] >= k)
        enough &= np.bincount(items[kept], minlength=_codes(items))[items] >= k
        if enough.sum() == kept.sum():
            return log.filter(pl.Series(enough))
        kept = enough


def _codes(numbers: NDArray[np.uint32]) -> int:
    return int(numbers.max(initial=0)) + 1


def duplicate_rows(log: pl.DataFrame) -> int:
    """Interactions beyond the first of the same user, item and time; of positions none are equal."""
    return log.height - log.select(pl.struct(EVENT).n_unique()).item()


def filter_dataset(
    dataset: Dataset,
    out: Path,
    *,
    core: int = 0,
    min_length: int = 0,
    no_duplicates: bool = False,
    no_repeats: bool = False,
    name: str = "",
) -> Dataset:
    """Write the part of `dataset` that passes to the new dataset folder `out`.

    Args:
        dataset: what to filter; it stays as it is.
        out: where to write; must not exist yet.
        core: keep only users and items that have so many interactions among what is kept.
        min_length: keep only users with so many interactions; afterwards, items may have fewer than `core`.
        no_duplicates: keep one of several interactions of the same user, item and time.
        no_repeats: keep a user's first interaction with an item only.
        name: of the new dataset; unset: that of the folder `out`.

    Items that lose all their interactions go; those that never had one stay unless `core` is given.
    Raises `RefusedError` if nothing is asked for, nothing remains, or `out` is taken.
    """
    if not (core or min_length or no_duplicates or no_repeats):
        raise RefusedError("nothing to filter: give --core, --min-length, --no-duplicates or --no-repeats")
    log, dropped = _filtered(dataset.interactions, core, min_length, no_duplicates, no_repeats)
    if log.is_empty():
        raise RefusedError(
            f"nothing of {dataset.folder} remains with core {core} and minimum length {min_length}: it has "
            f"{dataset.interactions.height:,} interactions; ask for less"
        )
    gone = dataset.items.join(log, on="item_id", how="anti")
    if not core:
        gone = gone.join(dataset.interactions, on="item_id", how="semi")
    items = dataset.items.join(gone, on="item_id", how="anti", maintain_order="left")
    return write_dataset(
        out,
        name=name or default_name(out),
        source=f"{dataset.card.source}; filtered from {dataset.name}",
        items=items,
        interactions=log,
        images=FolderImages(dataset.folder),
        dropped=dropped | {"items": gone.height},
        also=partial(_copy_what_goes_along, dataset, items),
    )


def _copy_what_goes_along(dataset: Dataset, items: pl.DataFrame, folder: Path) -> None:
    """Videos and sounds that `items` name, to the same paths below `folder`, and what captionings need to go on."""
    if (dataset.folder / "captions").is_dir():
        shutil.copytree(dataset.folder / "captions", folder / "captions", ignore=shutil.ignore_patterns(".*"))
    for column in FILE_COLUMNS:
        if column == "image" or column not in items.columns:
            continue
        for name in items[column].drop_nulls().unique():
            source, target = dataset.folder / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            elif source.is_file():
                shutil.copyfile(source, target)


def _filtered(
    log: pl.DataFrame, core: int, min_length: int, no_duplicates: bool, no_repeats: bool
) -> tuple[pl.DataFrame, dict[str, int]]:
    """What passes, and how many interactions each filter dropped, in the order of the filters."""
    dropped: dict[str, int] = {}
    for reason, passing in (
        ("duplicate_interactions", pl.struct(EVENT).is_first_distinct() if no_duplicates else None),
        ("repeated_interactions", pl.struct(EVENT[:2]).is_first_distinct() if no_repeats else None),
    ):
        if passing is not None:
            log, dropped[reason] = _counted(log, log.filter(passing))
    if core:
        log, dropped[f"interactions_outside_the_{core}_core"] = _counted(log, k_core(log, core))
    if min_length:
        long_enough = log.filter(pl.len().over("user_id") >= min_length)
        log, dropped[f"interactions_of_users_below_{min_length}"] = _counted(log, long_enough)
    return log, dropped


def _counted(before: pl.DataFrame, after: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    return after, before.height - after.height
