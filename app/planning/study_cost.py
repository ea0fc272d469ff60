"""What a study or a search will take, from its grid and from what earlier runs on the dataset took; without torch."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iisan_core.experiments.study import Study, seeds_of

FINALISTS = 2
"""Configurations of a search that are trained with all seeds: the best trial and where it started."""


@dataclass(frozen=True)
class Earlier:
    """What one finished run on the dataset took."""

    seconds: float
    memory_bytes: int
    epochs: int


@dataclass(frozen=True)
class StudyCost:
    """An estimate, before anything is started."""

    configurations: int
    trainings: int
    seconds: float | None
    """Of all of them, one after another; None where no run on the dataset says how long one takes."""
    memory_bytes: int | None
    """The most that an earlier run took."""
    measured_on: int
    """Earlier runs that the estimate is drawn from."""
    uncached: int = 0
    """Trainings that run their backbones in every step, and take far longer than the estimate says."""


def earlier_of(results: Sequence[Mapping[str, Any]]) -> list[Earlier]:
    """What runs with such results took; results that lack a figure, as a baseline's do, are left out."""
    found = []
    for each in results:
        took = each.get("efficiency", {})
        seconds, epochs, memory = (took.get(n) for n in ("seconds_per_epoch", "epochs", "peak_memory_bytes"))
        if seconds and epochs and memory:
            found.append(Earlier(seconds * epochs, int(memory), int(epochs)))
    return found


def study_cost(study: Study, seeds: Sequence[int], earlier: Sequence[Earlier]) -> StudyCost:
    """Of a grid: its configurations, each once per seed; counted baselines once, and for next to nothing."""
    rows = [study.rows[numbers[0]] for numbers in study.trainings().values()]
    trained = sum(len(seeds) for row in rows if row.config.baseline is None)
    counted = sum(len(seeds_of(row.config, seeds)) for row in rows if row.config.baseline is not None)
    uncached = sum(len(seeds) for row in rows if row.uncached)
    return _cost(len(rows), trained, counted, earlier, uncached=uncached)


def search_cost(trials: int, seeds: Sequence[int], earlier: Sequence[Earlier], *, minutes: float | None) -> StudyCost:
    """Of a search: at most so many trials, for at most so many minutes, then the finalists with all seeds."""
    cost = _cost(trials, trials + FINALISTS * len(seeds), 0, earlier)
    if minutes is None or cost.seconds is None:
        return cost
    each = cost.seconds / cost.trainings
    return _cost(
        trials, cost.trainings, 0, earlier, seconds=min(60 * minutes, each * trials) + each * FINALISTS * len(seeds)
    )


def _cost(
    configurations: int,
    trained: int,
    counted: int,
    earlier: Sequence[Earlier],
    *,
    uncached: int = 0,
    seconds: float | None = None,
) -> StudyCost:
    each = statistics.median(run.seconds for run in earlier) if earlier else None
    return StudyCost(
        configurations=configurations,
        trainings=trained + counted,
        seconds=seconds if seconds is not None else None if each is None else each * trained,
        memory_bytes=max((run.memory_bytes for run in earlier), default=None),
        measured_on=len(earlier),
        uncached=uncached,
    )
