"""A day's log, and new items, appended to a dataset folder: checked like an import, whole at any moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data_tools import import_report
from data_tools.ids import repair_ids, repaired, repairs_of
from data_tools.importers.records import read_catalogue, read_log
from data_tools.importers.request import ImportOptions
from data_tools.importers.table import item_columns, log_columns, open_log, open_source
from data_tools.picture_names import with_pictures
from data_tools.times import unit_of
from data_tools.writing import (
    SOURCE_LINE,
    Conflicts,
    by_user_and_time,
    clean_items,
    counts_of,
    store_images,
    wanting_of,
)
from iisan_core.data.dataset import Dataset
from iisan_core.data.held_out import timestamps_are_positions
from iisan_core.errors import RefusedError
from iisan_core.files import replacing, write_json

EVENT = ("user_id", "item_id", "timestamp")


@dataclass(frozen=True)
class Update:
    """What an update changed."""

    dataset: Dataset
    """As it is now."""
    new_items: int
    changed_items: int
    """Items of before whose texts are others now."""
    new_interactions: int
    new_users: int
    already_there: int
    """Interactions that the log had before: the same user, item and time."""
    unknown_items: int
    """Interactions left out since neither catalogue has their item."""


def update_dataset(
    dataset: Dataset,
    interactions: Path,
    *,
    items: Path | None = None,
    images: Path | None = None,
    options: ImportOptions | None = None,
) -> Update:
    """Append tables of new interactions and, if given, of new items to the folder of `dataset`.

    Args:
        dataset: where to append to; its files are replaced, each in one step, first the catalogue, then the log.
        interactions: a table of the kind `table`, its columns named by `options`.
        items: the same, of items that are new, or whose texts are others now.
        images: folder or zip of pictures of new items.
        options: as of an import of the kind `table`; `conflicts` says what becomes of items that differ from before.

    Raises:
        RefusedError: as an import does; the log of `dataset` has an order, but no times; the new times are of another
            unit; or nothing in the new log is new.
    """
    options = options or ImportOptions()
    if timestamps_are_positions(dataset.interactions):
        raise RefusedError(
            f"{dataset.folder}: its log has an order, but no times, so nothing can be said to be newer; import the "
            "whole log again"
        )
    log = read_log(open_log(interactions, options), log_columns(options), options)
    _refuse_other_unit(dataset, log.rows, interactions)
    catalogue, pictures = with_pictures(_read_items(dataset, items, options), images)
    catalogue = clean_items(catalogue, str(items), options.conflicts or "refuse")[0] if items is not None else catalogue
    every_id = pl.concat([dataset.items.select("item_id"), catalogue.select("item_id")]).unique(maintain_order=True)
    _, added = repair_ids(every_id, log.rows, repairs_of(options.ids), log_from=str(interactions))
    fresh = added.join(dataset.interactions, on=EVENT, how="anti", maintain_order="left")
    named = fresh.join(every_id, on="item_id", how="semi", maintain_order="left")
    if named.is_empty():
        raise RefusedError(f"{interactions}: none of its {added.height:,} interactions is new and names a known item")
    new, changed = _told_apart(dataset, catalogue, options.conflicts or "refuse", what=str(items))
    _write(dataset, new, changed, pictures, named, unknown=fresh.height - named.height)
    return Update(
        dataset=Dataset.load(dataset.folder),
        new_items=new.height,
        changed_items=changed.height,
        new_interactions=named.height,
        new_users=named.join(dataset.interactions, on="user_id", how="anti")["user_id"].n_unique(),
        already_there=added.height - fresh.height,
        unknown_items=fresh.height - named.height,
    )


def _refuse_other_unit(dataset: Dataset, log: pl.DataFrame, path: Path) -> None:
    before, now = unit_of(dataset.interactions["timestamp"]), unit_of(log["timestamp"])
    if before != now:
        raise RefusedError(
            f"{path}: its times are in {now or 'no known unit'}, those of {dataset.folder} in "
            f"{before or 'no known unit'}; write them in the same"
        )


def _read_items(dataset: Dataset, items: Path | None, options: ImportOptions) -> pl.DataFrame:
    """New and changed items, with the columns that the dataset has; none without a file."""
    if items is None:
        return dataset.items.clear().with_columns(pl.lit(0, pl.Int64).alias(SOURCE_LINE))
    source = open_source(items, options, what="item file")
    table = read_catalogue(source, item_columns(options), options).rows
    others = [name for name in table.columns if name not in (*dataset.items.columns, SOURCE_LINE)]
    if others:
        raise RefusedError(f"{items}: {dataset.folder} has no columns {others}; it has {dataset.items.columns}")
    return table.with_columns(repaired(pl.col("item_id"), repairs_of(options.ids)))


def _told_apart(
    dataset: Dataset, items: pl.DataFrame, conflicts: Conflicts, *, what: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The items that are new, and those whose texts differ from before and count."""
    new = items.join(dataset.items, on="item_id", how="anti", maintain_order="left")
    texts = [name for name in dataset.text_columns if name in items.columns]
    both = items.join(dataset.items.select("item_id", *texts), on="item_id", how="inner", suffix=" before")
    differs = pl.any_horizontal([pl.col(name).ne_missing(pl.col(f"{name} before")) for name in texts])
    changed = both.filter(differs)
    if not changed.is_empty() and conflicts == "refuse":
        first = changed.row(0, named=True)
        name = next(name for name in texts if first[name] != first[f"{name} before"])
        raise RefusedError(
            f"{what}: item {first['item_id']!r} has {name} {first[name]!r:.80}, before "
            f"{first[f'{name} before']!r:.80}; give --conflicts last to take the new texts, or first to keep the old"
        )
    return new, (changed if conflicts == "last" else changed.clear()).select("item_id", *texts)


def _write(
    dataset: Dataset,
    new: pl.DataFrame,
    changed: pl.DataFrame,
    pictures: Mapping[str, bytes],
    added: pl.DataFrame,
    *,
    unknown: int,
) -> None:
    """Pictures, catalogue, log, card: whoever reads between two of them finds a whole dataset."""
    new, wanting, unseen = store_images(new, pictures, dataset.folder)
    items = pl.concat([dataset.items.update(changed, on="item_id", include_nulls=True), new], how="diagonal")
    interactions = by_user_and_time(pl.concat([dataset.interactions, added.select(dataset.interactions.columns)]))
    card = dataset.card
    dropped = card.dropped | {
        "interactions_of_unknown_items": card.dropped.get("interactions_of_unknown_items", 0) + unknown
    }
    reported = card.reported | wanting_of(items, interactions)
    reported |= {name: card.reported.get(name, 0) + count for name, count in wanting.items()}
    counts = card.counts | counts_of(items, interactions)
    with replacing(dataset.folder / "items.parquet") as temporary:
        items.write_parquet(temporary)
    with replacing(dataset.folder / "interactions.parquet") as temporary:
        interactions.write_parquet(temporary)
    import_report.append(dataset.folder, [unseen])
    described = card.model_copy(update={"counts": counts, "dropped": dropped, "reported": reported})
    write_json(dataset.folder / "dataset.json", described.model_dump())
