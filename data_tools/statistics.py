"""What a dataset holds, raw and as the protocol uses it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import polars as pl

from data_tools.filtering import duplicate_rows, k_core
from data_tools.text import has_entities
from data_tools.writing import MIN_LENGTH
from iisan_core.config.schema import ProtocolConfig
from iisan_core.data.dataset import Dataset
from iisan_core.data.split import last_interactions
from iisan_core.errors import RefusedError

KEEP_LAST = ProtocolConfig().keep_last
"""Interactions kept of every user by the protocol (method, section 6)."""


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
        cold_test_targets=cold_test_targets(kept),
        test_targets_in_history=targets_in_history(kept),
    )


def _repeating_users(log: pl.DataFrame) -> int:
    repeated = log.filter(pl.struct("user_id", "item_id").is_duplicated())
    return repeated["user_id"].n_unique()


def _share_with_entities(titles: pl.Series) -> float:
    present = titles.drop_nulls().to_list()
    return sum(map(has_entities, present)) / max(len(present), 1)


def cold_test_targets(kept: pl.DataFrame) -> int:
    """Test targets among the kept interactions that occur in nobody's training interactions."""
    targets = kept.filter(pl.col("from_end") == 0)
    training = kept.filter(pl.col("from_end") > 1)
    return targets.join(training, on="item_id", how="anti").height


def targets_in_history(kept: pl.DataFrame) -> int:
    """Test targets among the kept interactions that their user had before."""
    targets = kept.filter(pl.col("from_end") == 0)
    history = kept.filter(pl.col("from_end") > 0)
    return targets.join(history, on=["user_id", "item_id"], how="semi").height
