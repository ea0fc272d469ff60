"""What somebody should know about a dataset before training on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from data_tools.images import MAX_BYTES, UnreadableImageError, extension_of
from data_tools.statistics import KEEP_LAST
from data_tools.writing import MIN_LENGTH
from iisan_core.dataset import Dataset
from iisan_core.sequences import last_interactions


@dataclass(frozen=True)
class Finding:
    """Something found in a dataset."""

    severity: Literal["error", "warning", "note"]
    """`error`: training will fail; `warning`: results suffer or mislead; `note`: worth knowing."""
    what: str
    count: int
    """How many users, items, interactions or files it concerns."""
    remedy: str


def check(dataset: Dataset) -> list[Finding]:
    """Everything worth saying about `dataset`, errors first; an empty list means nothing was found."""
    findings = [finding for look in CHECKS for finding in look(dataset) if finding.count]
    return sorted(findings, key=lambda finding: ("error", "warning", "note").index(finding.severity))


def _short_users(dataset: Dataset) -> list[Finding]:
    lengths = dataset.interactions["user_id"].value_counts()["count"]
    short = int((lengths < MIN_LENGTH).sum())
    if short == lengths.len():
        remedy = f"training needs users with at least {MIN_LENGTH} interactions; import more of the log"
        return [Finding("error", "no user is long enough for the protocol", short, remedy)]
    remedy = "the split leaves them out of training and evaluation; nothing needs to be done"
    return [Finding("note", f"users with fewer than {MIN_LENGTH} interactions", short, remedy)]


def _idle_items(dataset: Dataset) -> list[Finding]:
    idle = dataset.items.join(dataset.interactions, on="item_id", how="anti").height
    remedy = "they are ranked like all others, from their text and picture alone; remove them if not on offer"
    return [Finding("note", "items that nobody interacted with", idle, remedy)]


def _silent_items(dataset: Dataset) -> list[Finding]:
    texts = dataset.texts(tuple(dataset.text_columns))
    silent = sum(t is None and p is None for t, p in zip(texts, dataset.image_paths(), strict=True))
    remedy = "such items get the learned vector for missing content only; give them a title or a picture"
    return [Finding("warning", "items with neither text nor picture", silent, remedy)]


def _pictures(dataset: Dataset) -> list[Finding]:
    paths = [path for path in dataset.image_paths() if path is not None]
    present = [path for path in paths if path.is_file()]
    unreadable = 0
    for path in present:
        try:
            if path.stat().st_size > MAX_BYTES:
                raise UnreadableImageError("too large")
            extension_of(path.read_bytes())
        except UnreadableImageError:
            unreadable += 1
    remedy = "import the data again, or set `image` to null for these items"
    return [
        Finding("error", "picture files that are not there", len(paths) - len(present), remedy),
        Finding("error", "picture files that cannot be read", unreadable, remedy),
    ]


def _duplicate_titles(dataset: Dataset) -> list[Finding]:
    titles = dataset.items["title"].drop_nulls()
    remedy = "a text encoder cannot tell such items apart; add another text column or check for double entries"
    return [Finding("note", "items that share their title with another", int(titles.is_duplicated().sum()), remedy)]


def _ties(dataset: Dataset) -> list[Finding]:
    ties = dataset.interactions.filter(pl.struct("user_id", "timestamp").is_duplicated()).height
    remedy = "their order is that of the source file; check that it is meant, since the last one is the test target"
    return [Finding("warning", "interactions at the same time as another of the same user", ties, remedy)]


def _future_leakage(dataset: Dataset) -> list[Finding]:
    """Leave-one-out splits each user's own time, so training may hold what happened after a test target."""
    if timestamps_are_positions(dataset.interactions):
        return []
    kept = last_interactions(dataset.interactions, min_interactions=MIN_LENGTH, keep_last=KEEP_LAST)
    newest = kept.filter(pl.col("from_end") > 1)["timestamp"].max()
    leaking = kept.filter((pl.col("from_end") == 0) & (pl.col("timestamp") < newest)).height
    what = "test targets older than the newest training interaction (leave-one-out looks into the future)"
    remedy = "usual in this field and comparable with published results; for a production estimate split by time"
    return [Finding("warning", what, leaking, remedy)]


def timestamps_are_positions(log: pl.DataFrame) -> bool:
    """Whether every user's timestamps are 0, 1, 2 …: the order is known, the time is not."""
    position = pl.int_range(pl.len(), dtype=pl.Int64).over("user_id")
    return bool(log.select((pl.col("timestamp") == position).all()).item())


CHECKS: tuple[Callable[[Dataset], list[Finding]], ...] = (
    _short_users,
    _idle_items,
    _silent_items,
    _pictures,
    _duplicate_titles,
    _ties,
    _future_leakage,
)
