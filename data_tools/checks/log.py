"""Checks of the interactions: who has enough, in what order, what is repeated, what time tells."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from data_tools.checks.finding import Finding
from data_tools.filtering import duplicate_rows, k_core
from data_tools.statistics import KEEP_LAST, cold_test_targets, targets_in_history
from data_tools.times import timestamps_are_positions
from data_tools.writing import MIN_LENGTH
from iisan_core.data.dataset import Dataset
from iisan_core.data.split import last_interactions


def short_users(dataset: Dataset) -> list[Finding]:
    """Users whom the protocol leaves out."""
    lengths = dataset.interactions["user_id"].value_counts()["count"]
    short = int((lengths < MIN_LENGTH).sum())
    if short == lengths.len():
        remedy = f"training needs users with at least {MIN_LENGTH} interactions; import more of the log"
        return [Finding("error", "no user is long enough for the protocol", short, remedy)]
    remedy = "the split leaves them out of training and evaluation; nothing needs to be done"
    return [Finding("note", f"users with fewer than {MIN_LENGTH} interactions", short, remedy)]


def outside_core(dataset: Dataset) -> list[Finding]:
    """Interactions that published figures on k-core data leave out."""
    outside = dataset.interactions.height - k_core(dataset.interactions, MIN_LENGTH).height
    remedy = (
        f"published figures often use the {MIN_LENGTH}-core only; `iisan data filter --core {MIN_LENGTH}` makes it, "
        "but it leaves out the rare items on which content helps most"
    )
    return [Finding("note", f"interactions outside the {MIN_LENGTH}-core", outside, remedy)]


def unordered(dataset: Dataset) -> list[Finding]:
    """Interactions before which the same user's time runs backwards; importers sort, other programs may not."""
    same_user = pl.col("user_id") == pl.col("user_id").shift(1)
    backwards = dataset.interactions.filter(same_user & (pl.col("timestamp") < pl.col("timestamp").shift(1))).height
    remedy = "the last one of every user is the test target, so order matters; import the data again, which sorts"
    return [Finding("error", "interactions older than the one before them", backwards, remedy)]


def ties(dataset: Dataset) -> list[Finding]:
    """Interactions whose order is that of the file only."""
    tied = dataset.interactions.filter(pl.struct("user_id", "timestamp").is_duplicated()).height
    remedy = "their order is that of the source file; check that it is meant, since the last one is the test target"
    return [Finding("warning", "interactions at the same time as another of the same user", tied, remedy)]


def duplicates(dataset: Dataset) -> list[Finding]:
    """The same user, item and time again."""
    remedy = "a log written twice teaches nothing twice; `iisan data filter --no-duplicates` keeps one of each"
    return [Finding("warning", "duplicate interactions", duplicate_rows(dataset.interactions), remedy)]


def repeats(dataset: Dataset) -> list[Finding]:
    """Test targets that masking makes impossible to hit."""
    kept = last_interactions(dataset.interactions, min_interactions=MIN_LENGTH, keep_last=KEEP_LAST)
    remedy = (
        "the protocol gives items of the history no score, so these cannot be hit; `iisan evaluate --repeats` ranks "
        "them, `iisan data filter --no-repeats` removes them"
    )
    return [Finding("note", "test targets in the user's own history", targets_in_history(kept), remedy)]


def cold_targets(dataset: Dataset) -> list[Finding]:
    """Test targets that no training interaction shows."""
    kept = last_interactions(dataset.interactions, min_interactions=MIN_LENGTH, keep_last=KEEP_LAST)
    remedy = (
        "only text and pictures can find them, a model of ids cannot; `iisan evaluate --by popularity` shows them apart"
    )
    return [Finding("note", "test targets that never occur in training", cold_test_targets(kept), remedy)]


def future_leakage(dataset: Dataset) -> list[Finding]:
    """Leave-one-out splits each user's own time, so training may hold what happened after a test target."""
    kept = last_interactions(dataset.interactions, min_interactions=MIN_LENGTH, keep_last=KEEP_LAST)
    if timestamps_are_positions(dataset.interactions):
        what = "users of whom the order is known, but no times: leakage of leave-one-out cannot be measured"
        remedy = "bring timestamps to see for how many of them training holds what others did later"
        return [Finding("note", what, kept["user_id"].n_unique(), remedy)]
    newest = kept.filter(pl.col("from_end") > 1)["timestamp"].max()
    targets = kept.filter(pl.col("from_end") == 0)
    leaking = targets.filter(pl.col("timestamp") < newest).height
    share = f"{100 * leaking / max(targets.height, 1):.0f} % of "
    what = f"test targets, {share}all, older than the newest training interaction (leave-one-out looks into the future)"
    remedy = "usual in this field and comparable with published results; for a production estimate split by time"
    return [Finding("warning", what, leaking, remedy)]


LOG_CHECKS: tuple[Callable[[Dataset], list[Finding]], ...] = (
    short_users,
    outside_core,
    unordered,
    ties,
    duplicates,
    repeats,
    cold_targets,
    future_leakage,
)
