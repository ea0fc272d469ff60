"""`ranks.parquet`: each user's ranks under both protocols, and what is needed to tell groups of users apart.

Whoever has this table asks for any metric, over all users or groups of them, without data or model. No figure is shown
without the protocol behind it, in words (method, section 6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iisan_core.config.schema import PAPER_FORM
from iisan_core.data.split import Split
from iisan_core.errors import RefusedError
from iisan_core.evaluation.metrics import Found, RankLists
from iisan_core.files import checked

Subset: TypeAlias = Literal["valid", "test"]
SUBSETS: tuple[Subset, ...] = get_args(Subset)

UNMASKED = "_unmasked"
"""Follows the subset in the name of the ranks for which items of the history kept their score."""

ALL = "_all"
"""Follows the name of a column of ranks where all that is held out of a user is to be found."""

WHICH = {"valid": "second last", "test": "last"}

By: TypeAlias = Literal["popularity", "length", "repeat"]
BYS: tuple[By, ...] = get_args(By)
COLD = "cold: never in training"


def both_protocols(ranked: Callable[..., Found]) -> dict[str, Found]:
    """Ranks by the name of their column: items of the history masked, and ranked like all others.

    `ranked(subset, masked=…)` ranks what is to be found of every user measured in the subset.
    """
    under = {"": True, UNMASKED: False}
    return {subset + end: ranked(subset, masked=masked) for end, masked in under.items() for subset in SUBSETS}


def rank_table(
    split: Split, ranks: Mapping[str, Found], *, lists: Mapping[str, pl.Series] | None = None
) -> pl.DataFrame:
    """One row per measured user, in the split's order; written by every kind of run as its `ranks.parquet`.

    `ranks` holds ranks for `valid` and `test` and, where repeats are to be evaluated, `valid_unmasked` and
    `test_unmasked`. Where all that is held out of a user is to be found, the best rank stands in these columns, and all
    of them, rising, in `test_all` and so on. For each subset the table adds the next item's id, its training
    interactions (0: cold), the length of the history before it, and whether it stands in that history
    (`test_repeated`). `lists` are columns for the users measured in the test: what is recommended to them, and what
    that is like. Who is not measured in one of the subsets has nulls there.
    """
    valid, test = (_of_subset(split, ranks, subset) for subset in SUBSETS)
    table = valid.join(test.with_columns(**(lists or {})), on="row", how="full", coalesce=True).sort("row")
    several = [f"{name}{ALL}" for name, found in ranks.items() if isinstance(found, RankLists)]
    first = [*ranks, *several]
    return table.select(split.user_ids.gather(table["row"]).alias("user_id"), *first, pl.exclude("row", *first))


def _of_subset(split: Split, ranks: Mapping[str, Found], subset: Subset) -> pl.DataFrame:
    targets, histories = split.targets(subset), split.history(subset)
    rows, items = histories.flat()
    repeated = np.zeros(len(targets), dtype=bool)
    repeated[rows[items == targets[rows]]] = True
    own = {name: found for name, found in ranks.items() if name.removesuffix(UNMASKED) == subset}
    several = {name: found for name, found in own.items() if isinstance(found, RankLists)}
    return pl.DataFrame(
        {
            "row": split.measured[subset],
            **{name: found.best if isinstance(found, RankLists) else found for name, found in own.items()},
            **{f"{name}{ALL}": found.column for name, found in several.items()},
            f"{subset}_target": pl.Series(split.item_ids, dtype=pl.String).gather(targets - 1),
            f"{subset}_interactions": split.training_counts()[targets],
            f"{subset}_history": histories.lengths,
            f"{subset}_repeated": repeated,
        }
    )


def ranks_in(table: pl.DataFrame, column: str) -> Found:
    """The ranks in a column such as `test`: one each, or all where all that is held out of a user is to be found."""
    return RankLists.of(table[column + ALL]) if column + ALL in table.columns else table[column].to_numpy()


def read_rank_table(path: Path) -> pl.DataFrame:
    """Read a run's `ranks.parquet`; raises `RefusedError` if it is absent, broken or no rank table."""
    if not path.is_file():
        raise RefusedError(f"no ranks at {path}: the run has not finished; go on with `iisan resume`")
    try:
        table = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise RefusedError(f"{path} is no readable Parquet file ({error}); train the run again") from None
    absent = [c for c in ("user_id", *SUBSETS) if c not in table.columns]
    if absent:
        raise RefusedError(f"{path} has the columns {table.columns}, {absent} not among them; train the run again")
    checked(path)
    return table


def protocol_name(results: Mapping[str, Any], *, subset: str, masked: bool) -> str:
    """How the figures of `subset` came about, from a run's `results.json`.

    >>> protocol = {"min_interactions": 5, "max_history": 10, "training": "all", "masked": "history"}
    >>> results = {"data": {"items": 20314}, "protocol": protocol | {"held_out": "leave-one-out"}}
    >>> protocol_name(results, subset="test", masked=True)
    'leave-one-out: last of ≥ 5 interactions, up to 10 inputs, 20,314 items ranked, whole history masked, all trained'
    """
    settings, items = results["protocol"], results["data"]["items"]
    longest = settings.get("max_history") or settings["inputs"]
    kind = settings.get("held_out", "leave-one-out")
    form = PAPER_FORM | {key: settings[key] for key in PAPER_FORM if key in settings}
    history = MASKED[form["masked"]] if masked else "history not masked (repeats count)"
    held = f"{kind}: {WHICH[subset]}" if kind == "leave-one-out" else _cut_name(settings, subset)
    trained = ", all trained" if form["training"] == "all" else ""
    return (
        f"{held} of ≥ {settings['min_interactions']} interactions, up to {longest} inputs, {items:,} items ranked, "
        f"{history}{trained}"
    )


MASKED = {"history": "whole history masked", "kept": "history masked"}


def _cut_name(settings: Mapping[str, Any], subset: str) -> str:
    """Such as `time: next from 0.9`."""
    where = f"from {settings[f'{subset}_from']}" if settings["held_out"] == "time" else f"in {subset}"
    return f"{settings['held_out']}: {settings['target']} {where}"


def grouped(ranks: pl.DataFrame, *, subset: str, by: By, groups: int) -> list[tuple[str, pl.DataFrame]]:
    """The rows of a rank table in labelled groups, in ascending order; what is cold comes first."""
    return GROUPINGS[by](ranks, subset, groups)


def _by_popularity(ranks: pl.DataFrame, subset: str, groups: int) -> list[tuple[str, pl.DataFrame]]:
    times = pl.col(f"{subset}_interactions")
    cold, warm = ranks.filter(times == 0), ranks.filter(times > 0)
    found = [(COLD, cold)] if cold.height else []
    return found + _quantile_groups(warm, f"{subset}_interactions", groups, unit="training interactions")


def _by_length(ranks: pl.DataFrame, subset: str, groups: int) -> list[tuple[str, pl.DataFrame]]:
    return _quantile_groups(ranks, f"{subset}_history", groups, unit="items before the target")


def _by_repeat(ranks: pl.DataFrame, subset: str, groups: int) -> list[tuple[str, pl.DataFrame]]:
    repeated = pl.col(f"{subset}_repeated")
    halves = [("target new to the user", ~repeated), ("target in the history", repeated)]
    found = [(label, ranks.filter(which)) for label, which in halves]
    return [(label, members) for label, members in found if members.height]


GROUPINGS: dict[By, Callable[[pl.DataFrame, str, int], list[tuple[str, pl.DataFrame]]]] = {
    "popularity": _by_popularity,
    "length": _by_length,
    "repeat": _by_repeat,
}


def _quantile_groups(ranks: pl.DataFrame, column: str, groups: int, *, unit: str) -> list[tuple[str, pl.DataFrame]]:
    if ranks.is_empty():
        return []
    number, labels = quantile_labels(ranks[column].cast(pl.Int64).to_numpy(), groups=groups)
    return [(f"{label} {unit}", ranks.filter(pl.Series(number == n))) for n, label in enumerate(labels)]


def quantile_labels(values: NDArray[np.int64], *, groups: int) -> tuple[NDArray[np.int64], list[str]]:
    """Cut whole numbers [U] into at most `groups` groups of about equal size; equal values stay together.

    Returns the group number of each value, [U], and each group's label: the range of its values, such as `3–7`.
    """
    edges = np.unique(np.quantile(values, np.arange(1, groups + 1) / groups, method="inverted_cdf"))
    number = np.searchsorted(edges, values)
    members = [values[number == n] for n in range(len(edges))]
    return number, [_span(int(own.min()), int(own.max())) for own in members]


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"
