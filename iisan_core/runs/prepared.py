"""A run that is ready to train: `fit` inside, and around it what is written down as it goes."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import torch

from iisan_core.computing.processes import ALONE, ProcessGroup
from iisan_core.config.schema import RunConfig
from iisan_core.files import read_object, write_json
from iisan_core.model.recommender import RecommenderModel
from iisan_core.model.saving import load_model, save_model
from iisan_core.runs.ensemble import blend_members
from iisan_core.runs.results import (
    count_and_write,
    save_items,
    untrained_cost,
    write_outcome,
    write_results,
)
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.start import apply_start
from iisan_core.runs.status import State, Steps
from iisan_core.runs.tracking import tracked
from iisan_core.runs.worker import heartbeat, in_words, only_worker
from iisan_core.training.checkpoint import has_checkpoint
from iisan_core.training.corruption import corrupted
from iisan_core.training.device import (
    describe,
    peak_memory,
    reset_peak_memory,
)
from iisan_core.training.events import EpochEnded, Event, Noted, Progress, TrainingEnded, as_record
from iisan_core.training.fit import fit
from iisan_core.training.inputs import RunInputs
from iisan_core.training.out_of_memory import naming_what_fits
from iisan_core.training.states import ItemStates

LIBRARIES = ("iisan-workbench", "torch", "transformers", "accelerate", "safetensors", "numpy", "polars", "pydantic")

STATUS_SECONDS = 0.2
"""The status is written no more often while steps go by: the steps of a small run are quicker than the disk."""


@dataclass(frozen=True)
class PreparedRun:
    """A run folder and what it works on, opened and checked once: all that `train` needs."""

    folder: RunFolder
    inputs: RunInputs
    device: torch.device
    processes: ProcessGroup = ALONE
    """Those that train it together."""

    def train(self) -> Iterator[Event]:
        """Train from the checkpoint, or from the start where there is none; raises `RefusedError` if another does."""
        if self.processes.leads:
            with only_worker(self.folder):
                yield from _recorded(self)
        else:
            yield from _followed(self)
        self.processes.wait()


def _recorded(prepared: PreparedRun) -> Iterator[Event]:
    """Train, and keep status, events and log; a failure is written down before it is raised."""
    run, inputs, device = prepared.folder, prepared.inputs, prepared.device
    config = run.config()
    epochs = config.training.epochs
    epoch = max((event["epoch"] for event in run.events()), default=0)
    run.write_status("starting", epoch=epoch, epochs=epochs)
    said = -math.inf
    try:
        _note_data(run, inputs)
        write_json(run.path / "environment.json", _environment(device) | {"data": _counts(inputs)})
        for event in _beating(run, _told(prepared, config)):
            if isinstance(event, TrainingEnded):
                state: State = "stopped" if event.reason == "stopped" else "finished"
                run.write_log(f"{state} after epoch {event.epochs} ({event.reason})")
                run.write_status(state, epoch=event.epochs, epochs=epochs)
                break
            if isinstance(event, Noted):
                run.write_log(event.sentence)
            if isinstance(event, EpochEnded):
                epoch = event.epoch
                run.append_event(as_record(event) | {"at": time.time()})
                run.write_log(_sentence(event))
            if isinstance(event, EpochEnded) or time.monotonic() - said >= STATUS_SECONDS:
                said = time.monotonic()
                run.write_status(
                    "running", epoch=epoch, epochs=epochs, steps=_steps(event), gpu_memory_bytes=_gpu_memory(device)
                )
            yield event
    except (GeneratorExit, KeyboardInterrupt):
        run.write_status("stopped", epoch=epoch, epochs=epochs, message="broken off by whoever started it")
        raise
    except BaseException as error:
        run.write_status("failed", epoch=epoch, epochs=epochs, message=in_words(error))
        with suppress(OSError):  # the disk may be full
            run.write_log("".join(traceback.format_exception(error)))
        raise
    yield event  # how it ended: all is written down by now, whether or not somebody asks for more


def _train(prepared: PreparedRun) -> Iterator[Event]:
    run, inputs, device = prepared.folder, prepared.inputs, prepared.device
    config = run.config()
    reset_peak_memory(device)
    if config.baseline is not None:
        count_and_write(run, inputs, config)
        yield TrainingEnded("counted", best_epoch=0, epochs=0)
        return
    if config.members:
        blend_and_write(run, inputs, config)
        yield TrainingEnded("blended", best_epoch=0, epochs=0)
        return
    begun = _begin(prepared, config)
    for line in (*_together(prepared, config), *begun.said):
        run.write_log(line)
    save_items(run, inputs.split)
    events = begun.fit(on_best=lambda best: save_model(best, run.best), stop_asked=run.stop_asked)
    with naming_what_fits(begun.model, begun.states, inputs.split, config.training):
        for event in events:
            if isinstance(event, TrainingEnded) and event.reason != "stopped":
                write_outcome(run, load_model(run.best).to(device), begun.states, inputs, config)
            yield event


def _followed(prepared: PreparedRun) -> Iterator[Event]:
    """Train along with the first process, which writes down what comes of it."""
    config = prepared.folder.config()
    if config.baseline is None and not config.members:
        yield from _begin(prepared, config).fit(on_best=lambda best: None, stop_asked=lambda: False)


@dataclass(frozen=True)
class _Begun:
    """A model with its states, where its run's checkpoint, another run's weights or its seed put it."""

    prepared: PreparedRun
    model: RecommenderModel
    states: ItemStates
    resumes: bool
    said: tuple[str, ...]
    """For the log."""

    def fit(self, *, on_best: Callable[[RecommenderModel], None], stop_asked: Callable[[], bool]) -> Iterator[Event]:
        run = self.prepared.folder
        return fit(
            self.model,
            self.states,
            self.prepared.inputs.split,
            run.config().training,
            checkpoint=run.checkpoint,
            on_best=on_best,
            stop_asked=stop_asked,
            resume=self.resumes,
            processes=self.prepared.processes,
        )


def _begin(prepared: PreparedRun, config: RunConfig) -> _Begun:
    run, inputs, device = prepared.folder, prepared.inputs, prepared.device
    torch.manual_seed(config.training.seed)
    placement = inputs.placement(device, config.training.states)
    states = corrupted(inputs.states(device, where=placement.where), config.corruption)
    model = RecommenderModel(inputs.shape(config, states)).to(device)
    model.items.fit_scale(states.states, states.present)
    resumes = has_checkpoint(run.checkpoint)
    afresh = not resumes and config.start_from is not None
    started = apply_start(run, config, model, item_ids=inputs.split.item_ids) if afresh else ()
    return _Begun(prepared, model, states, resumes, (str(placement), *started))


def _together(prepared: PreparedRun, config: RunConfig) -> Iterator[str]:
    """What is to be said of the processes that train, where they are several or were to be."""
    asked, count = config.training.processes, prepared.processes.count
    if count > 1:
        yield f"{count} processes train together, each its share of every batch of {config.training.batch_size}"
    elif asked > 1:
        yield f"training.processes is {asked}, which `iisan train` and torchrun start; this one trains alone"


def blend_and_write(run: RunFolder, inputs: RunInputs, config: RunConfig) -> None:
    """Blend the configuration's members, write ranks and results."""
    ranks, blend, parameters = blend_members(run, config, inputs.split)
    write_results(run, inputs, config, ranks=ranks, efficiency=untrained_cost(parameters), blend=blend)


def _beating(run: RunFolder, events: Iterator[Event]) -> Iterator[Event]:
    with heartbeat(run):
        yield from events


def _told(prepared: PreparedRun, config: RunConfig) -> Iterator[Event]:
    """What happens while it trains, told to the configuration's trackers on the way."""
    with tracked(prepared.folder, config) as tell:
        for event in _train(prepared):
            tell(event)
            yield event


def _steps(event: Event) -> Steps | None:
    if not isinstance(event, Progress):
        return None
    return Steps(doing=f"epoch {event.epoch}, loss {event.loss:.4f}", done=event.step, total=event.steps)


def _gpu_memory(device: torch.device) -> int:
    return peak_memory(device) if device.type == "cuda" else 0


def _counts(inputs: RunInputs) -> dict[str, int]:
    log = inputs.dataset.interactions
    return {"users": log["user_id"].n_unique(), "items": inputs.dataset.items.height, "interactions": log.height}


def _note_data(run: RunFolder, inputs: RunInputs) -> None:
    """Say in the log of a run that goes on what of its data is not as it was when it began."""
    path = run.path / "environment.json"
    before = read_object(path, what="environment of a run").get("data") if path.is_file() else None
    if inputs.left_out:
        run.write_log(inputs.left_out)
    if before not in (None, now := _counts(inputs)):
        then, here = (", ".join(f"{count:,} {what}" for what, count in counts.items()) for counts in (before, now))
        run.write_log(f"the data have changed since this run began ({then}): it goes on with those of now ({here})")


def _environment(device: torch.device) -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": describe(device),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def _sentence(event: EpochEnded) -> str:
    best = "best so far" if event.waited == 0 else f"best {event.best_hr10:.2f} at epoch {event.best_epoch}"
    return (
        f"epoch {event.epoch}: loss {event.loss:.4f}, valid HR@10 {event.valid['HR@10']:.2f}, "
        f"NDCG@10 {event.valid['NDCG@10']:.2f} ({best}), {event.seconds:.1f} s"
    )
