"""What a dataset holds, raw and as the protocol uses it; and what its numbers are spread over, as tables to draw."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import polars as pl

from data_tools.filtering import duplicate_rows, k_core
from data_tools.text import has_entities
from data_tools.times import moments
from data_tools.writing import MIN_LENGTH
from iisan_core.config.schema import ProtocolConfig
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError

KEEP_LAST = ProtocolConfig().max_history + 3
"""Interactions kept of every user by the protocol (method, section 6)."""
FROM_END = pl.col("from_end")
POINTS = 1000
"""Ranks of the popularity curve that are kept: more than a chart can show."""
SPANS = (("day", "1d", 120), ("week", "1w", 120), ("month", "1mo", 240), ("year", "1y", 10_000))
"""Name, polars' word for it, and up to how many of them are drawn."""


@dataclass(frozen=True)
class DatasetStatistics:
    """Counts of a dataset. *Kept*: users long enough, their last interactions (method, section 6)."""

    users: int
    items: int
    interactions: int
    items_with_interactions: int
    kept_users: int
    kept_items: int
    """Items that occur in the kept interactions."""
    kept_interactions: int
    core_users: int
    """Users of the k-core, k the minimum length: the part in which every user and item has k interactions."""
    core_items: int
    core_interactions: int
    length_min: int
    length_median: float
    length_max: int
    """Interactions per user, raw."""
    items_without_text: int
    """Items whose text columns are all empty."""
    items_without_image: int
    users_repeating_an_item: int
    """Users with some item twice or more, raw."""
    repeated_interactions: int
    """Interactions with an item that the user had before, raw."""
    duplicate_interactions: int
    """Interactions beyond the first of the same user, item and time."""
    tied_interactions: int
    """Interactions at the same time as another of the same user; their order is that of the file."""
    titles_with_entities: float
    """Share of titles, 0 to 1, that still hold an HTML entity."""
    cold_test_targets: int
    """Kept users whose last item occurs in nobody's training interactions (all kept but the last two)."""
    test_targets_in_history: int
    """Kept users whose last item stands in their own kept history; masked, so it cannot be ranked."""

    def as_dict(self) -> dict[str, int | float]:
        """The fields by name, for tables and JSON."""
        return asdict(self)


def statistics(dataset: Dataset, *, min_length: int = MIN_LENGTH, keep_last: int = KEEP_LAST) -> DatasetStatistics:
    """Count `dataset`; users with fewer than `min_length` interactions are not kept, of others `keep_last`.

    Raises `RefusedError` if a kept user would have no training interaction: both bounds are at least 3.
    """
    if min(min_length, keep_last) < 3:
        raise RefusedError(
            f"min_length {min_length} and keep_last {keep_last}: both must be at least 3, because validation "
            "and test take one interaction each and training needs one"
        )
    log = dataset.interactions
    lengths = log["user_id"].value_counts()["count"].to_numpy()
    core = k_core(log, min_length)
    kept = last_interactions(log, min_interactions=min_length, keep_last=keep_last)
    targets, history, training = (kept.filter(part) for part in (FROM_END == 0, FROM_END > 0, FROM_END > 1))
    return DatasetStatistics(
        users=len(lengths),
        items=dataset.items.height,
        interactions=log.height,
        items_with_interactions=log["item_id"].n_unique(),
        kept_users=kept["user_id"].n_unique(),
        kept_items=kept["item_id"].n_unique(),
        kept_interactions=kept.height,
        core_users=core["user_id"].n_unique(),
        core_items=core["item_id"].n_unique(),
        core_interactions=core.height,
        length_min=int(lengths.min()),
        length_median=float(np.median(lengths)),
        length_max=int(lengths.max()),
        items_without_text=sum(text is None for text in dataset.texts(tuple(dataset.text_columns))),
        items_without_image=dataset.items["image"].null_count(),
        users_repeating_an_item=_repeating_users(log),
        repeated_interactions=log.height - log.select(pl.struct("user_id", "item_id").n_unique()).item(),
        duplicate_interactions=duplicate_rows(log),
        tied_interactions=log.filter(pl.struct("user_id", "timestamp").is_duplicated()).height,
        titles_with_entities=_share_with_entities(dataset.items["title"]),
        cold_test_targets=targets.join(training, on="item_id", how="anti").height,
        test_targets_in_history=targets.join(history, on=["user_id", "item_id"], how="semi").height,
    )


def _repeating_users(log: pl.DataFrame) -> int:
    repeated = log.filter(pl.struct("user_id", "item_id").is_duplicated())
    return repeated["user_id"].n_unique()


def _share_with_entities(titles: pl.Series) -> float:
    present = titles.drop_nulls().to_list()
    return sum(map(has_entities, present)) / max(len(present), 1)


def last_interactions(interactions: pl.DataFrame, *, min_interactions: int, keep_last: int) -> pl.DataFrame:
    """The interactions that the paper's protocol keeps, in order, with `from_end`: 0 is a user's newest, the target."""
    length = pl.len().over("user_id").cast(pl.Int64)
    from_end = length - 1 - pl.int_range(pl.len()).over("user_id")
    return interactions.with_columns(from_end=from_end).filter(
        (length >= min_interactions) & (pl.col("from_end") < keep_last)
    )


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
