"""A run from start to end, written down as it goes: `fit` inside, the run folder around it."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from iisan_core.config.schema import RunConfig, refuse_another
from iisan_core.files import read_object, write_json
from iisan_core.model.recommender import RecommenderModel
from iisan_core.model.saving import load_model, save_model
from iisan_core.runs.ensemble import blend_members
from iisan_core.runs.moved import same_run
from iisan_core.runs.results import (
    count_and_write,
    read_item_ids,
    save_items,
    untrained_cost,
    write_outcome,
    write_results,
)
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.start import Start, apply_start, keep_start
from iisan_core.runs.status import State, Steps
from iisan_core.runs.worker import heartbeat, in_words, is_at_work, only_worker
from iisan_core.training.checkpoint import has_checkpoint
from iisan_core.training.corruption import corrupted
from iisan_core.training.device import check_compiler, choose_device, describe, peak_memory, reset_peak_memory
from iisan_core.training.events import EpochEnded, Event, Progress, TrainingEnded, as_record
from iisan_core.training.fit import fit
from iisan_core.training.inputs import RunInputs
from iisan_core.training.out_of_memory import naming_what_fits

LIBRARIES = ("iisan-workbench", "torch", "transformers", "accelerate", "safetensors", "numpy", "polars", "pydantic")

STATUS_SECONDS = 0.2
"""The status is written no more often while steps go by: the steps of a small run are quicker than the disk."""


def train(config: RunConfig, path: str | Path, *, command: str = "") -> Iterator[Event]:
    """Train what `config` says into the new run folder `path`.

    Args:
        config: dataset, caches, protocol, model and training.
        path: the run folder to be; it must not exist.
        command: how one would type it, for `command.txt`; by default the command line of this program.

    Yields:
        `Progress`, `EpochEnded`, and last a `TrainingEnded`; all are in the run folder by then, too.

    Raises:
        RefusedError: before the folder exists, if anything that the configuration names cannot be used.

    Example:
        >>> for event in train(config, folder / "run"):
        ...     pass
        >>> event.reason
        'epochs'
    """
    yield from prepare(config, path, command=command).train()


def resume(run: RunFolder) -> Iterator[Event]:
    """Go on with a run that was stopped or interrupted, from its checkpoint; from the start where it has none yet.

    Args:
        run: its folder, `RunFolder.open(path)`.

    Yields:
        What `train` does, from the first epoch that is not in the checkpoint.

    Raises:
        RefusedError: it is being trained, or what its configuration names cannot be used any more.

    Example:
        >>> [type(event).__name__ for event in resume(run)]    # a finished one: its results are written anew
        ['TrainingEnded']
    """
    yield from reopen(run).train()


def train_or_resume(
    config: RunConfig, path: Path, *, command: str = "", inputs: RunInputs | None = None
) -> Iterator[Event]:
    """What happens while the run at `path` is trained, or trained to its end; nothing where it has finished.

    inputs  what the configuration names, where it is open already

    Raises `RefusedError` if there is a run of another configuration.
    """
    config = config.with_absolute_paths()
    if not path.exists():
        return prepare(config, path, command=command, inputs=inputs).train()
    run = RunFolder.open(path)
    if not same_run(run.config(), config):
        refuse_another(run.config(), config, where=path, remedy="remove that folder, choose another one")
    return iter(()) if run.status().state == "finished" else reopen(run, inputs=inputs).train()


def ensure_trained(config: RunConfig, path: str | Path) -> RunFolder:
    """The finished run at `path`: trained now if it is not there yet, trained to its end if it was broken off.

    Args:
        config: what the run was, or is to be, trained with.
        path: the run folder.

    Returns:
        The run folder.

    Raises:
        RefusedError: there is a run of another configuration, or `config` names what cannot be used.

    Example:
        >>> ensure_trained(config, folder / "run").status().state
        'finished'
    """
    for _ in train_or_resume(config, Path(path)):
        pass
    return RunFolder.open(path)


@dataclass(frozen=True)
class PreparedRun:
    """A run folder and what it works on, opened and checked once: all that `train` needs."""

    folder: RunFolder
    inputs: RunInputs
    device: torch.device

    def train(self) -> Iterator[Event]:
        """Train from the checkpoint, or from the start where there is none; raises `RefusedError` if another does."""
        with only_worker(self.folder):
            yield from _recorded(self.folder, self.inputs, self.device)


def prepare(config: RunConfig, path: str | Path, *, command: str = "", inputs: RunInputs | None = None) -> PreparedRun:
    """Make the run folder `path`; raises `RefusedError` before it exists if `config` names what cannot be used."""
    config = config.with_absolute_paths().refuse_unlearnable()
    inputs = inputs or RunInputs.open(config)
    device = choose_device(config.training.device)
    inputs.placement(device, config.training.states)
    if config.training.compile:
        check_compiler(device)
    start = Start.of_run(config.start_from) if config.start_from else None
    folder = RunFolder.create(Path(path), config=config, command=command or " ".join(sys.argv))
    if start is not None:
        start.save(folder)
    return PreparedRun(folder, inputs, device)


def reopen(run: RunFolder, *, inputs: RunInputs | None = None) -> PreparedRun:
    """An existing run with what it works on; raises `RefusedError` if it is being trained, or that is not there."""
    config = run.usable_config()
    with only_worker(run):
        if not is_at_work(run):
            run.withdraw_stop()
        if inputs is None or read_item_ids(run) not in (None, inputs.split.item_ids):
            inputs = RunInputs.open(config, item_ids=read_item_ids(run))
        keep_start(run, config)
        return PreparedRun(run, inputs, choose_device(config.training.device))


def _recorded(run: RunFolder, inputs: RunInputs, device: torch.device) -> Iterator[Event]:
    """Train, and keep status, events and log; a failure is written down before it is raised."""
    config = run.config()
    epochs = config.training.epochs
    epoch = max((event["epoch"] for event in run.events()), default=0)
    run.write_status("starting", epoch=epoch, epochs=epochs)
    said = -math.inf
    try:
        _note_data(run, inputs)
        write_json(run.path / "environment.json", _environment(device) | {"data": _counts(inputs)})
        for event in _beating(run, _train(run, inputs, device)):
            if isinstance(event, TrainingEnded):
                state: State = "stopped" if event.reason == "stopped" else "finished"
                run.write_log(f"{state} after epoch {event.epochs} ({event.reason})")
                run.write_status(state, epoch=event.epochs, epochs=epochs)
                break
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


def _train(run: RunFolder, inputs: RunInputs, device: torch.device) -> Iterator[Event]:
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
    torch.manual_seed(config.training.seed)
    placement = inputs.placement(device, config.training.states)
    run.write_log(str(placement))
    states = corrupted(inputs.states(device, where=placement.where), config.corruption)
    model = RecommenderModel(inputs.shape(config, states)).to(device)
    model.items.fit_scale(states.states, states.present)
    begun = has_checkpoint(run.checkpoint)
    if not begun and config.start_from is not None:
        for line in apply_start(run, config, model, item_ids=inputs.split.item_ids):
            run.write_log(line)
    save_items(run, inputs.split)
    events = fit(
        model,
        states,
        inputs.split,
        config.training,
        checkpoint=run.checkpoint,
        on_best=lambda best: save_model(best, run.best),
        stop_asked=run.stop_asked,
        resume=begun,
    )
    with naming_what_fits(model, states, inputs.split, config.training):
        for event in events:
            if isinstance(event, TrainingEnded) and event.reason != "stopped":
                write_outcome(run, load_model(run.best).to(device), states, inputs, config)
            yield event


def blend_and_write(run: RunFolder, inputs: RunInputs, config: RunConfig) -> None:
    """Blend the configuration's members, write ranks and results."""
    ranks, blend, parameters = blend_members(run, config, inputs.split)
    write_results(run, inputs, config, ranks=ranks, efficiency=untrained_cost(parameters), blend=blend)


def _beating(run: RunFolder, events: Iterator[Event]) -> Iterator[Event]:
    with heartbeat(run):
        yield from events


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
