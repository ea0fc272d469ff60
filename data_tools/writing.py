"""The only place that writes a dataset folder (see `iisan_core.data.dataset`): cleans, counts, refuses."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import polars as pl

from data_tools import import_report
from data_tools.images import UnreadableImageError, extension_of
from data_tools.text import clean_texts, says_nothing
from data_tools.times import runs_newest_first
from iisan_core.config.schema import ProtocolConfig
from iisan_core.data.dataset import (
    DATASET_FILES,
    FILE_COLUMNS,
    INTERACTION_COLUMNS,
    NAME,
    NO_TEXT,
    Dataset,
    DatasetCard,
)
from iisan_core.errors import RefusedError
from iisan_core.files import new_folder, replacing, seal, write_json

MIN_LENGTH = ProtocolConfig().min_interactions
TIES_NEWEST_FIRST = "ties_in_a_log_that_ran_newest_first"
"""On the card: interactions whose order is the source's, which ran newest first."""
"""Users with fewer interactions are left out by the protocol (method, section 6)."""
SOURCE_LINE = "source line"
"""Optional column of `items`: the line of the source file, for messages; it is not written."""

Conflicts: TypeAlias = Literal["refuse", "first", "last"]

logger = logging.getLogger(__name__)


def write_dataset(
    folder: str | Path,
    *,
    name: str,
    source: str,
    items: pl.DataFrame,
    interactions: pl.DataFrame,
    images: Mapping[str, bytes] | None = None,
    dropped: Mapping[str, int] | None = None,
    reported: Mapping[str, int] | None = None,
    also: Callable[[Path], None] | None = None,
    report: Sequence[pl.DataFrame] = (),
    conflicts: Conflicts = "refuse",
    items_from: str = "item table",
) -> Dataset:
    """Write a dataset folder, whole or not at all, and return it as read back.

    Args:
        folder: where to write; must not exist or be empty.
        name: name on the dataset card.
        source: where the data came from, in words.
        items: `item_id`, `title`, optionally `image` (a name in `images`), `image_url`, `video` and `audio` (paths in
            the folder, where `also` or somebody later puts the files) and further text columns.
        interactions: `user_id`, `item_id`, `timestamp` (i64); ties in time keep their order.
        images: name → encoded picture.
        dropped: rows that the importer left out already, by reason; the counts made here are added.
        reported: rows that the importer kept although something is wanting.
        also: called with the unfinished folder, to write further files beside the tables.
        report: rows that the importer left out, as `import_report` lists them; those left out here are added.
        conflicts: what becomes of rows that say different things of one item: refused, or the first or last counts.
        items_from: what messages call the item table, such as its file.

    Raises:
        RefusedError: `name` cannot name a folder, a table is empty or lacks a column, an id is empty, an item id has
            conflicting rows, no interaction names a known item, or `folder` is taken.
    """
    _refuse_name(name)
    items, duplicates, conflicting = clean_items(items, items_from, conflicts)
    lost = import_report.unknown_items(interactions, items["item_id"])
    source_log = interactions
    interactions, left_out = _clean_interactions(source_log, items)
    with new_folder(Path(folder)) as unfinished:
        items, wanting, unseen = store_images(items, images or {}, unfinished)
        items.write_parquet(unfinished / "items.parquet")
        interactions.write_parquet(unfinished / "interactions.parquet")
        import_report.write(unfinished, [*report, lost, unseen])
        if also is not None:
            also(unfinished)
        card = DatasetCard(
            name=name,
            source=source,
            counts=counts_of(items, interactions),
            dropped={**(dropped or {}), "duplicate_item_rows": duplicates, **conflicting, **left_out},
            reported={**(reported or {}), **wanting, **wanting_of(items, interactions)}
            | {TIES_NEWEST_FIRST: _ties_newest_first(source_log)},
        )
        write_json(unfinished / "dataset.json", card.model_dump())
        seal(unfinished, DATASET_FILES)
    return Dataset.load(folder)


def write_column(dataset: Dataset, values: pl.Series, *, counts: Mapping[str, int] | None = None) -> None:
    """Put a column, one value per item, into the catalogue of `dataset`; its card counts the items without one.

    The files are replaced, each in one step. `counts` are added to those on the card.
    """
    with replacing(dataset.folder / "items.parquet") as temporary:
        dataset.items.with_columns(values).write_parquet(temporary)
    wanting = {f"items_without_{values.name}": values.null_count()}
    changed = {"counts": {**dataset.card.counts, **(counts or {})}, "reported": dataset.card.reported | wanting}
    write_json(dataset.folder / "dataset.json", dataset.card.model_copy(update=changed).model_dump())


def default_name(folder: Path) -> str:
    """The name of a dataset that was given none: that of `folder`, without the dot of a hidden one."""
    return folder.resolve().name.lstrip(".") or "dataset"


def _refuse_name(name: str) -> None:
    if not re.fullmatch(NAME, name):
        raise RefusedError(
            f"a dataset cannot be called {name!r}: folders are named after it, so it has no slash and no dot in front; "
            "give another --name"
        )


def clean_items(items: pl.DataFrame, what: str, conflicts: Conflicts) -> tuple[pl.DataFrame, int, dict[str, int]]:
    """Clean texts, merge equal rows: the table, the number of rows merged away, and of those that others contradict."""
    _require(items, ("item_id", "title"), what=what)
    _refuse_empty_ids(items, "item_id", what=what)
    if "image" not in items.columns:
        items = items.with_columns(image=pl.lit(None, pl.String))
    if SOURCE_LINE not in items.columns:
        items = items.with_row_index(SOURCE_LINE, offset=1)
    texts = [c for c in items.columns if c not in (*NO_TEXT, SOURCE_LINE)]
    places = [pl.col(c).cast(pl.String).replace("", None) for c in (*FILE_COLUMNS, "image_url") if c in items.columns]
    items = items.select(SOURCE_LINE, "item_id", *texts, *places)
    items = items.with_columns(_cleaned(items[c]) for c in texts)
    unique = items.unique([c for c in items.columns if c != SOURCE_LINE], keep="first", maintain_order=True)
    merged = items.height - unique.height
    chosen = unique
    if conflicts == "refuse":
        _refuse_conflicts(unique, what=what)
    else:
        chosen = unique.unique("item_id", keep=conflicts, maintain_order=True)
    order = ["item_id", "title", "image", *(c for c in chosen.columns if c not in ("item_id", "title", "image"))]
    contradicted = {} if conflicts == "refuse" else {"conflicting_item_rows": unique.height - chosen.height}
    return chosen.select(order), merged, contradicted


def _cleaned(texts: pl.Series) -> pl.Series:
    """Clean texts; a title that is what programs write where nothing is counts as missing, other texts stay."""
    cleaned = clean_texts(texts)
    nothing = says_nothing(cleaned)
    if nothing.any():
        words = ", ".join(repr(word) for word in cleaned.filter(nothing).unique(maintain_order=True).head(3))
        fate = "count as missing" if texts.name == "title" else "stay as they are"
        logger.warning("%d entries of %s say %s and %s", nothing.sum(), texts.name, words, fate)
    if texts.name != "title":
        return cleaned
    return cleaned.to_frame().select(pl.when(~nothing).then(pl.col(texts.name)).alias(texts.name)).to_series()


def _refuse_conflicts(items: pl.DataFrame, *, what: str) -> None:
    twice = items.filter(pl.col("item_id").is_duplicated())
    if twice.is_empty():
        return
    first, second = twice.filter(pl.col("item_id") == twice["item_id"][0]).head(2).to_dicts()
    column = next(c for c in first if c != SOURCE_LINE and first[c] != second[c])
    raise RefusedError(
        f"{what}: item id {first['item_id']!r} has conflicting rows: line {first[SOURCE_LINE]} has {column} "
        f"{first[column]!r:.80}, line {second[SOURCE_LINE]} has {second[column]!r:.80}; "
        "an id names one item, so keep one of the two rows, or give --conflicts first or last"
    )


def _clean_interactions(interactions: pl.DataFrame, items: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Order the log, drop what names no item; returns the table and how much was dropped."""
    _require(interactions, tuple(INTERACTION_COLUMNS), what="interaction table")
    for column in ("user_id", "item_id"):
        _refuse_empty_ids(interactions, column, what="interaction table")
    if interactions["timestamp"].null_count():
        row = interactions["timestamp"].is_null().arg_max()
        raise RefusedError(f"interaction table: row {(row or 0) + 1} has no timestamp; every row needs one")
    known = interactions.select(tuple(INTERACTION_COLUMNS)).filter(pl.col("item_id").is_in(items["item_id"].implode()))
    if known.is_empty():
        raise RefusedError(
            f"none of the {interactions.height} interactions names an item of the catalogue (the first names "
            f"{interactions['item_id'][0]!r}, the catalogue begins with {items['item_id'][0]!r}); "
            "check that both files use the same ids"
        )
    left_out = {
        "interactions_of_unknown_items": interactions.height - known.height,
        "users_without_known_items": interactions["user_id"].n_unique() - known["user_id"].n_unique(),
    }
    return by_user_and_time(known), left_out


def _ties_newest_first(interactions: pl.DataFrame) -> int:
    """Interactions at the time of another of their user in a log that runs newest first: theirs may, too."""
    if not runs_newest_first(interactions):
        return 0
    return int(interactions.select(pl.struct("user_id", "timestamp").is_duplicated().sum()).item())


def by_user_and_time(interactions: pl.DataFrame) -> pl.DataFrame:
    """Users in the order of their first appearance, each oldest first; ties keep the file's order."""
    first_row = pl.col("row").min().over("user_id")
    ordered = interactions.with_row_index("row").sort(first_row, "timestamp", maintain_order=True)
    return ordered.drop("row")


def store_images(
    items: pl.DataFrame, images: Mapping[str, bytes], folder: Path
) -> tuple[pl.DataFrame, dict[str, int], pl.DataFrame]:
    """Copy readable pictures to `images/`: the items with their new paths, what is wanting, and why of each."""
    (folder / "images").mkdir(exist_ok=True)
    paths: list[str | None] = []
    missing: list[tuple[int | None, str, str]] = []
    unreadable: list[tuple[int | None, str, str]] = []
    for line, item_id, name in items.select(SOURCE_LINE, "item_id", "image").iter_rows():
        stored = None
        if name is not None and name not in images:
            missing.append((line, item_id, f"{name}: no such picture"))
        elif name is not None:
            try:
                stored = _store_image(item_id, images[name], folder)
            except UnreadableImageError as fault:
                unreadable.append((line, item_id, f"{name} ({fault})"))
        paths.append(stored)
    for what, found in (("missing", missing), ("unreadable", unreadable)):
        if found:
            shown = "; ".join(reason.removesuffix(": no such picture") for _, _, reason in found[:3])
            logger.warning("%d pictures are %s, among them %s", len(found), what, shown)
    counts = {"missing_image_files": len(missing), "unreadable_images": len(unreadable)}
    items = items.drop(SOURCE_LINE).with_columns(image=pl.Series(paths, dtype=pl.String))
    return items, counts, import_report.reported("pictures", [*missing, *unreadable])


def _store_image(item_id: str, data: bytes, folder: Path) -> str:
    path = f"images/{picture_stem(item_id)}{extension_of(data)}"
    (folder / path).write_bytes(data)
    return path


def picture_stem(item_id: str) -> str:
    """Name, without ending, of an item's picture file: the id if it is tame, else its hash."""
    # An id may hold anything; only a tame one becomes a file name.
    tame = re.fullmatch(r"[A-Za-z0-9_-]{1,100}", item_id)
    return item_id if tame else "id-" + hashlib.sha256(item_id.encode()).hexdigest()[:32]


def counts_of(items: pl.DataFrame, interactions: pl.DataFrame) -> dict[str, int]:
    """The counts on a card."""
    return {
        "items": items.height,
        "users": interactions["user_id"].n_unique(),
        "interactions": interactions.height,
        "images": items["image"].count(),
    }


def wanting_of(items: pl.DataFrame, interactions: pl.DataFrame) -> dict[str, int]:
    """How many items and users lack something."""
    lengths = interactions["user_id"].value_counts()["count"]
    return {
        "items_without_title": items["title"].null_count(),
        "items_without_image": items["image"].null_count(),
        "users_below_minimum": int((lengths < MIN_LENGTH).sum()),
    }


def _require(table: pl.DataFrame, columns: tuple[str, ...], *, what: str) -> None:
    absent = [c for c in columns if c not in table.columns]
    if absent:
        raise RefusedError(f"{what} lacks the columns {absent}; it has {table.columns}")
    wrong = {
        c: t
        for c, t in table.schema.items()
        if c != SOURCE_LINE and t != INTERACTION_COLUMNS.get(c, pl.String) and t != pl.Null
    }
    if wrong:
        raise RefusedError(f"{what}: columns of the wrong type {wrong}; ids and texts are strings, time is i64")
    if table.is_empty():
        raise RefusedError(f"{what} is empty; a dataset needs at least one row there")


def _refuse_empty_ids(table: pl.DataFrame, column: str, *, what: str) -> None:
    empty = table[column].is_null() | (table[column].str.strip_chars() == "")
    if empty.any():
        row = empty.fill_null(True).arg_max()
        raise RefusedError(f"{what}: row {(row or 0) + 1} has an empty {column}; every row needs one")
