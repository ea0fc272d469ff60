"""Run a study: one training after another, skipping what is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from iisan_core.config.schema import RunConfig
from iisan_core.errors import RefusedError
from iisan_core.experiments.study import Row, Study, seeds_of, with_seed
from iisan_core.experiments.study_table import OpenInputs, write_tables
from iisan_core.experiments.uncached import what_is_left_uncached, why_not_uncached
from iisan_core.files import begin_list
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import train_or_resume
from iisan_core.training.events import Event, TrainingEnded
from iisan_core.training.inputs import RunInputs


@dataclass(frozen=True)
class StudyProgress:
    """What happens in one of the study's trainings."""

    run: str
    number: int
    """Of this training, from 1."""
    total: int
    """Trainings of the study, those done before included."""
    event: Event | None
    """None where the training was done before, or is left out."""
    left_out: str = ""
    """Why the study goes without this training, in a sentence."""


def run_study(study: Study, folder: Path, *, seeds: Sequence[int] = (0, 1, 2)) -> Iterator[StudyProgress]:
    """Train every configuration with every seed under `folder`, then write the study's tables there.

    All configurations are trained with the first seed, then with the next, so that a study that is broken off has
    one seed of each. What has finished is left alone, what was broken off goes on. Rows that would run backbones
    which are not at hand are left out, and said so first. Raises `RefusedError` if the study has no rows or no seeds,
    or `folder` holds a run of the same name that was trained otherwise.
    """
    if not (study.rows and seeds):
        raise RefusedError(
            f"study {study.name} has {len(study.rows)} rows and {len(seeds)} seeds; it needs one of each"
        )
    left_out, open_inputs = _left_out(study), _LastOpened()
    wanted = _wanted(study.without(left_out), seeds)
    begin_list(folder)
    for name, reason in left_out.items():
        yield StudyProgress(name, 0, len(wanted), None, reason)
    for number, (name, row) in enumerate(wanted, start=1):
        event: Event | None = None
        for event in _what_is_left(row, folder / name, open_inputs, command=f"study {study.name}, {name}"):
            yield StudyProgress(name, number, len(wanted), event)
            if isinstance(event, TrainingEnded) and event.reason == "stopped":
                return
        if event is None:
            yield StudyProgress(name, number, len(wanted), None)
    write_tables(study, folder, seeds=seeds, left_out=left_out, open_inputs=open_inputs)


def _left_out(study: Study) -> dict[str, str]:
    """Rows that cannot be trained here → why."""
    reasons = {row.name: why_not_uncached(row.config) for row in study.rows if row.uncached}
    return {name: reason for name, reason in reasons.items() if reason}


def _wanted(study: Study, seeds: Sequence[int]) -> list[tuple[str, Row]]:
    """The trainings in their order: a name, and the row with its seed."""
    trainings = {name: study.rows[numbers[0]] for name, numbers in study.trainings().items()}
    return [
        (f"{name}-seed{seed}", replace(row, config=with_seed(row.config, seed)))
        for seed in seeds
        for name, row in trainings.items()
        if seed in seeds_of(row.config, seeds)
    ]


def _what_is_left(row: Row, path: Path, open_inputs: OpenInputs, *, command: str) -> Iterator[Event]:
    if row.uncached:
        return what_is_left_uncached(row.config, path.with_name(f"{path.name}.json"), open_inputs=open_inputs)
    is_finished = path.exists() and RunFolder.open(path).status().state == "finished"
    inputs = None if is_finished else open_inputs(row.config)
    return train_or_resume(row.config, path, command=command, inputs=inputs)


class _LastOpened:
    """Opens and checks data and caches once for all trainings in a row that name the same.

    Only the last are kept: whatever else were held would count as memory of the trainings after it.
    """

    def __init__(self) -> None:
        self._opened: dict[str, RunInputs] = {}

    def __call__(self, config: RunConfig) -> RunInputs:
        config = config.with_absolute_paths()
        named = config.model_dump_json(include={"dataset", "caches", "protocol"})
        if named not in self._opened:
            self._opened.clear()
            self._opened[named] = RunInputs.open(config)
        return self._opened[named]
