"""A split that somebody else has made: which interactions validate and test, as files say, written beside the log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from data_tools.importers.request import ImportOptions
from data_tools.importers.table import log_columns, open_log
from data_tools.reading.sources import collect, require, schema_of
from data_tools.reading.tables import id_column
from iisan_core.data.dataset import Dataset
from iisan_core.data.held_out import SUBSET, SUBSETS
from iisan_core.errors import RefusedError
from iisan_core.files import replacing

PAIR = ("user_id", "item_id")
EXAMPLES = 3


def split_as_given(
    dataset: Dataset, files: Mapping[str, Path], *, options: ImportOptions | None = None
) -> dict[str, int]:
    """Write the column `subset` into the log of `dataset`: `train`, `valid` or `test` for every interaction.

    Args:
        dataset: its log is replaced in one step.
        files: `valid` and `test`, and `train` if it is to be checked too → a table of user and item ids, and of times
            if users have items several times.
        options: names of the columns, as of an import of the kind `table`.

    Returns:
        Subset → interactions. What no file names trains; with a file `train` it is refused.

    Raises:
        RefusedError: A file cannot be read, or names interactions that the log lacks, that stand in it several times,
            or that another file names; or `train` is given and interactions are in none.
    """
    named = [_read(subset, path, options or ImportOptions()) for subset, path in files.items()]
    _refuse_two_subsets(pl.concat([table.select(*PAIR, SUBSET) for table in named]), files)
    log = dataset.interactions.drop(SUBSET, strict=False).with_row_index("row")
    found = pl.concat([_matched(log, table, files) for table in named])
    labels = log.select("row").join(found, on="row", how="left", maintain_order="left")[SUBSET]
    if "train" in files and labels.null_count():
        first = dataset.interactions.filter(labels.is_null()).row(0, named=True)
        raise RefusedError(
            f"{labels.null_count():,} interactions of {dataset.folder} are in none of the files, the first is "
            f"{_pair(first)}; complete {files['train']}, or leave it out: what no file names trains"
        )
    labels = labels.fill_null("train").alias(SUBSET)
    with replacing(dataset.folder / "interactions.parquet") as path:
        dataset.interactions.with_columns(labels).write_parquet(path)
    return {subset: int((labels == subset).sum()) for subset in SUBSETS}


def _read(subset: str, path: Path, options: ImportOptions) -> pl.DataFrame:
    """`user_id`, `item_id`, `timestamp` if the file has it, and the subset."""
    columns, source = log_columns(options), open_log(path, options)
    names = {"user_id": columns.user_id, "item_id": columns.item_id}
    require(source, list(names.values()))
    if columns.timestamp in (source.columns() or ()):
        names["timestamp"] = columns.timestamp
    frame = source.scan(list(names.values()))
    schema = schema_of(source, frame)
    parts = [id_column(source, names[name], schema[names[name]]).alias(name) for name in PAIR]
    if "timestamp" in names:
        parts.append(pl.col(names["timestamp"]).cast(pl.Int64, strict=False).alias("timestamp"))
    table = collect(source, frame.select(parts)).with_columns(pl.lit(subset).alias(SUBSET))
    if "timestamp" in names and table["timestamp"].null_count():
        raise RefusedError(
            f"{path}: times in {names['timestamp']!r} are no whole numbers, as the log of the dataset has them; write "
            "them so, or leave the column out"
        )
    return table


def _matched(log: pl.DataFrame, table: pl.DataFrame, files: Mapping[str, Path]) -> pl.DataFrame:
    """Rows of the log that a file names, and its subset."""
    path = files[table[SUBSET][0]] if table.height else None
    key = [name for name in (*PAIR, "timestamp") if name in table.columns]
    absent = table.join(log, on=key, how="anti")
    if absent.height:
        some = ", ".join(_pair(row) for row in absent.head(EXAMPLES).iter_rows(named=True))
        raise RefusedError(
            f"{path} names {absent.height:,} interactions that the log lacks, such as {some}; bring ids and times as "
            "the dataset has them"
        )
    found = log.join(table.unique(key), on=key, how="inner").select("row", *key, SUBSET)
    twice = found.filter(pl.struct(key).is_duplicated())
    if twice.height:
        remedy = "add the column of the times" if "timestamp" not in key else "remove doubles with `iisan data filter`"
        raise RefusedError(
            f"{path}: {_pair(twice.row(0, named=True))} stands in the log several times, so which one is meant is "
            f"open; {remedy}"
        )
    return found.select("row", SUBSET)


def _refuse_two_subsets(named: pl.DataFrame, files: Mapping[str, Path]) -> None:
    """Files may not name one interaction twice; told by user and item, unless the log has several of them."""
    counted = named.unique(maintain_order=True).group_by(*PAIR, maintain_order=True).agg(pl.col(SUBSET))
    both = counted.filter(pl.col(SUBSET).list.len() > 1)
    if both.height:
        first = both.row(0, named=True)
        one, other, *_ = (files[subset] for subset in first[SUBSET])
        raise RefusedError(f"{one} and {other} both name {_pair(first)}; an interaction belongs to one subset")


def _pair(row: Mapping[str, object]) -> str:
    return f"user {row['user_id']!r} and item {row['item_id']!r}"
