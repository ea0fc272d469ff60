"""A training told to experiment trackers, through accelerate's: configuration, epochs, results, and files on request.

Nothing of a tracker is a training's concern. Trackers are told by a thread of their own, and one that fails or hangs is
given up with a line in `train.log`; the training goes on as if it had not been there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

from iisan_core.config.schema import RunConfig, TrackerName, flat_settings
from iisan_core.errors import RefusedError, first_sentence
from iisan_core.runs.run_folder import RunFolder
from iisan_core.training.events import EpochEnded, Event, TrainingEnded

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

START_SECONDS = 60.0
LAST_SECONDS = 60.0
"""For what is still to be told when the training has ended."""
ARTIFACTS = ("config.yaml", "results.json", "best/model.safetensors", "best/config.json")
"""What a tracker that keeps files is given where `training.track_files` is on."""


def refuse_absent(config: RunConfig) -> None:
    """Raise `RefusedError` for a tracker that is not installed."""
    for name in config.training.trackers:
        if importlib.util.find_spec(name) is None:
            raise RefusedError(
                f'training.trackers names {name}, which is not installed; pip install "iisan-workbench[{name}]", or '
                "leave it out"
            )


@contextlib.contextmanager
def tracked(run: RunFolder, config: RunConfig) -> Iterator[Callable[[Event], None]]:
    """What the configuration's trackers are told within the block: call it with every event of a training."""
    trackers = [Tracked(name, run, config) for name in config.training.trackers]
    try:
        yield lambda event: _tell(trackers, event)
    finally:
        for tracker in trackers:
            tracker.finish()


def _tell(trackers: Sequence[Tracked], event: Event) -> None:
    for tracker in trackers:
        tracker.tell(event)


class Tracked:
    """One tracker of one run, and the thread that tells it."""

    def __init__(self, name: TrackerName, run: RunFolder, config: RunConfig) -> None:
        self._name, self._run, self._config = name, run, config
        self._tracker: GeneralTracker | None = None
        self._todo: Queue[Callable[[], None] | None] = Queue()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()
        with contextlib.redirect_stdout(sys.stderr):  # some greet; stdout is for what was asked for
            self._do(self._start, wait=START_SECONDS)

    def tell(self, event: Event) -> None:
        """An epoch's metrics, or the results."""
        if isinstance(event, EpochEnded):
            values = {"loss": event.loss, "seconds": event.seconds}
            values |= {f"valid/{metric}": value for metric, value in event.valid.items()}
            self._do(lambda: self._log(values, step=event.epoch))
        elif isinstance(event, TrainingEnded) and event.reason != "stopped":
            self._do(lambda: self._results(step=event.epochs))

    def finish(self) -> None:
        """Wait for what is still to be told, not for ever."""
        with contextlib.redirect_stdout(sys.stderr):
            self._do(self._end)
            self._todo.put(None)
            self._thread.join(LAST_SECONDS)
        if self._thread.is_alive():
            self._give_up(f"it has not taken all within {LAST_SECONDS:g} seconds")

    def _do(self, task: Callable[[], None], *, wait: float | None = None) -> None:
        if self._given_up.is_set():
            return
        done = threading.Event()

        def told() -> None:
            try:
                task()
            finally:
                done.set()

        self._todo.put(told)
        if wait is not None and not done.wait(wait):
            self._give_up(f"it did not begin within {wait:g} seconds")

    def _work(self) -> None:
        while (task := self._todo.get()) is not None:
            if self._given_up.is_set():
                continue
            try:
                task()
            except BaseException as error:  # whatever a tracker raises, even to end the program, ends only itself
                self._give_up(first_sentence(error))
        with contextlib.suppress(Empty):
            while True:
                self._todo.get_nowait()

    def _give_up(self, why: str) -> None:
        if not self._given_up.is_set():
            self._given_up.set()
            self._run.write_log(f"tracker {self._name} is told no more: {why}; the training goes on")

    def _start(self) -> None:
        from accelerate import PartialState
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        PartialState()  # accelerate's trackers do not speak without
        tracker = LOGGER_TYPE_TO_CLASS[self._name](**_arguments(self._name, self._run, self._config))
        tracker.start()
        tracker.store_init_configuration(flat_settings(self._config))
        self._tracker = tracker

    def _log(self, values: Mapping[str, float], *, step: int) -> None:
        assert self._tracker is not None, "a tracker that did not begin is told nothing"
        self._tracker.log(dict(values), step=step)

    def _results(self, *, step: int) -> None:
        results = self._run.results()
        self._log(_final(results), step=step)
        if self._config.training.track_files:
            self._files()

    def _files(self) -> None:
        files = [self._run.path / name for name in ARTIFACTS if (self._run.path / name).is_file()]
        if self._name == "mlflow":
            for file in files:
                self._tracker.log_artifact(str(file))  # type: ignore[union-attr]
        elif self._name == "wandb":
            for file in files:
                self._tracker.tracker.log_artifact(str(file), name=f"{self._run.name}-{file.stem}", type="run")  # type: ignore[union-attr]
        elif self._name == "trackio":
            import trackio

            for file in files:
                trackio.log_artifact(str(file), name=f"{self._run.name}-{file.parent.name}-{file.stem}", type="run")

    def _end(self) -> None:
        if self._tracker is not None:
            self._tracker.finish()


def _arguments(name: TrackerName, run: RunFolder, config: RunConfig) -> dict[str, Any]:
    """How each is called; projects are named after the dataset, runs after their folders."""
    project = config.dataset.name
    if name == "tensorboard":
        return {"run_name": "tensorboard", "logging_dir": run.path}
    if name == "trackio":
        return {"run_name": project, "name": run.name, "resume": "allow", "embed": False}
    if name == "wandb":
        return {"run_name": project, "name": run.name, "dir": str(run.path)}
    return {"experiment_name": project, "run_name": run.name}


def _final(results: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of `results.json`, by flat names."""
    numbers = {
        f"{subset}/{name}": value for subset, found in results["quality"].items() for name, value in found.items()
    }
    numbers |= {f"beyond/{name}": value for name, value in (results.get("beyond") or {}).items()}
    numbers |= {f"efficiency/{name}": value for name, value in results["efficiency"].items()}
    return {
        f"final/{name}": float(value)
        for name, value in numbers.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
