"""What a study or a search will take, from its grid and from what earlier runs on the dataset took; without torch."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iisan_core.config.schema import RunConfig
from iisan_core.experiments.study import Study, seeds_of

FINALISTS = 2
"""Configurations of a search that are trained with all seeds: the best trial and where it started."""


@dataclass(frozen=True)
class Earlier:
    """What one finished run on the dataset took."""

    seconds_per_epoch: float
    memory_bytes: int


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
        seconds, memory = took.get("seconds_per_epoch"), took.get("peak_memory_bytes")
        if seconds and memory:
            found.append(Earlier(float(seconds), int(memory)))
    return found


def study_cost(study: Study, seeds: Sequence[int], earlier: Sequence[Earlier]) -> StudyCost:
    """Of a grid: its configurations, each once per seed; counted baselines once, and for next to nothing.

    All trainings are taken to go on to their last epoch, so it is the most that it takes.
    """
    rows = [study.rows[numbers[0]] for numbers in study.trainings().values()]
    trained = [row.config for row in rows if row.config.baseline is None]
    counted = sum(len(seeds_of(row.config, seeds)) for row in rows if row.config.baseline is not None)
    return StudyCost(
        configurations=len(rows),
        trainings=len(trained) * len(seeds) + counted,
        seconds=_seconds(sum(config.training.epochs for config in trained) * len(seeds), earlier),
        memory_bytes=max((run.memory_bytes for run in earlier), default=None),
        measured_on=len(earlier),
        uncached=sum(len(seeds) for row in rows if row.uncached),
    )


def search_cost(
    base: RunConfig, trials: int, seeds: Sequence[int], earlier: Sequence[Earlier], *, minutes: float | None
) -> StudyCost:
    """Of a search: at most so many trials, for at most so many minutes, then the finalists with all seeds."""
    finals = FINALISTS * len(seeds)
    of_trials = _seconds(trials * base.training.epochs, earlier)
    of_finals = _seconds(finals * base.training.epochs, earlier)
    if of_trials is not None and minutes is not None:
        of_trials = min(of_trials, 60 * minutes)
    return StudyCost(
        configurations=trials,
        trainings=trials + finals,
        seconds=None if of_trials is None or of_finals is None else of_trials + of_finals,
        memory_bytes=max((run.memory_bytes for run in earlier), default=None),
        measured_on=len(earlier),
    )


def _seconds(epochs: int, earlier: Sequence[Earlier]) -> float | None:
    return epochs * statistics.median(run.seconds_per_epoch for run in earlier) if earlier else None
