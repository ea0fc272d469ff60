"""Run a study: one training after another, skipping what is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from iisan_core.errors import RefusedError
from iisan_core.studies.study import Study, seeds_of, with_seed
from iisan_core.studies.table import write_tables
from iisan_core.training.events import Event, TrainingEnded
from iisan_core.training.ready import what_is_left


@dataclass(frozen=True)
class StudyProgress:
    """What happens in one of the study's trainings."""

    run: str
    number: int
    """Of this training, from 1."""
    total: int
    """Trainings of the study, those done before included."""
    event: Event | None
    """None where the training was done before."""


def run_study(study: Study, folder: Path, *, seeds: Sequence[int] = (0, 1, 2)) -> Iterator[StudyProgress]:
    """Train every configuration with every seed under `folder`, then write the study's tables there.

    What has finished is left alone, what was broken off goes on. Raises `RefusedError` if the study has no rows or
    no seeds, or `folder` holds a run of the same name that was trained otherwise.
    """
    if not (study.rows and seeds):
        raise RefusedError(
            f"study {study.name} has {len(study.rows)} rows and {len(seeds)} seeds; it needs one of each"
        )
    configurations = study.configurations()
    wanted = [
        (f"{name}-seed{seed}", with_seed(config, seed))
        for seed in seeds
        for name, config in configurations.items()
        if seed in seeds_of(config, seeds)
    ]
    for number, (name, config) in enumerate(wanted, start=1):
        event: Event | None = None
        for event in what_is_left(config, folder / name, command=f"study {study.name}, {name}"):
            yield StudyProgress(name, number, len(wanted), event)
            if isinstance(event, TrainingEnded) and event.reason == "stopped":
                return
        if event is None:
            yield StudyProgress(name, number, len(wanted), None)
    write_tables(study, folder, seeds=seeds)
