"""What a dataset's numbers are spread over, as tables that `app.charts.dataset` draws."""

from __future__ import annotations

import polars as pl

from data_tools.times import moments
from iisan_core.data.dataset import Dataset

POINTS = 1000
"""Ranks of the popularity curve that are kept: more than a chart can show."""
SPANS = (("day", "1d", 120), ("week", "1w", 120), ("month", "1mo", 240), ("year", "1y", 10_000))
"""Name, polars' word for it, and up to how many of them are drawn."""


def sequence_lengths(dataset: Dataset) -> pl.DataFrame:
    """How many users have how many interactions: columns `length`, `users`, ascending."""
    lengths = dataset.interactions.group_by("user_id").agg(length=pl.len().cast(pl.Int64))
    return lengths.group_by("length").agg(users=pl.len().cast(pl.Int64)).sort("length")


def popularity_curve(dataset: Dataset) -> pl.DataFrame:
    """Items from the most popular down.

    Columns `rank` (1 is the most popular), `interactions`, `share_of_items` and `share_of_interactions` (of the items
    up to this rank, 0 to 1). Of long catalogues about a thousand ranks are kept, even on a logarithmic axis.
    """
    counted = dataset.interactions["item_id"].value_counts().select("item_id", interactions=pl.col("count"))
    items = dataset.items.select("item_id").join(counted, on="item_id", how="left")
    counts = items["interactions"].fill_null(0).cast(pl.Int64).sort(descending=True)
    table = pl.DataFrame({"rank": range(1, len(counts) + 1), "interactions": counts}).with_columns(
        share_of_items=pl.col("rank") / len(counts),
        share_of_interactions=pl.col("interactions").cum_sum() / counts.sum(),
    )
    return table.filter(pl.col("rank").is_in(_ranks_kept(len(counts)).implode()))


def coverage(dataset: Dataset) -> pl.DataFrame:
    """How many items have a picture, and each text: columns `what`, `items`, `share` (0 to 1)."""
    present = {column: dataset.items[column].str.strip_chars().replace("", None) for column in dataset.text_columns}
    pictures = dataset.items["image"]
    both = pictures.is_not_null() & pl.Series([t is not None for t in dataset.texts(tuple(present))])
    # Pairs, for a text column may be called `picture`.
    counts = [("picture", pictures.count()), *((what, texts.count()) for what, texts in present.items())]
    counts.append(("picture and text", int(both.sum())))
    rows = [{"what": what, "items": n, "share": n / dataset.items.height} for what, n in counts]
    return pl.DataFrame(rows)


def interactions_over_time(dataset: Dataset) -> pl.DataFrame:
    """How many interactions fall into each day, week, month or year, whichever fits the span.

    Columns `start` (date), `interactions`, `span` (in words), without gaps.
    Raises `RefusedError` if timestamps are no moments; ask `data_tools.times.has_times` first.
    """
    days = pl.DataFrame({"start": moments(dataset.interactions).dt.date()})
    for span, every, most in SPANS:
        table = _per_span(days, every).with_columns(span=pl.lit(span))
        if table.height <= most:
            break
    return table


def _per_span(days: pl.DataFrame, every: str) -> pl.DataFrame:
    counted = days.group_by(pl.col("start").dt.truncate(every)).agg(interactions=pl.len().cast(pl.Int64))
    first, last = pl.col("start").min(), pl.col("start").max()
    starts = counted.select(start=pl.date_range(first, last, interval=every))
    return starts.join(counted, on="start", how="left", maintain_order="left").with_columns(
        pl.col("interactions").fill_null(0)
    )


def _ranks_kept(items: int) -> pl.Series:
    if items <= POINTS:
        return pl.Series(range(1, items + 1), dtype=pl.Int64)
    steps = [round(items ** (n / (POINTS // 2))) for n in range(POINTS // 2 + 1)]
    even = [round(1 + n * (items - 1) / (POINTS // 2)) for n in range(POINTS // 2 + 1)]
    return pl.Series(sorted({*steps, *even}), dtype=pl.Int64)
