"""`iisan train`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

import iisan_core
from app.commands import console, together
from app.commands.options import Settings
from iisan_core.config.presets import load_preset, preset_names, with_settings
from iisan_core.config.schema import RunConfig, load_config, refuse_another, validated
from iisan_core.errors import RefusedError
from iisan_core.runs.run_folder import RunFolder
from iisan_core.training.events import Event


def train(
    dataset: Annotated[Path | None, typer.Argument(help="A dataset folder; not needed with --config.")] = None,
    cache: Annotated[
        list[Path] | None, typer.Option(help="A hidden-state cache, one per modality; unset: the dataset's only ones.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help=f"Starting point: {', '.join(preset_names())}; unset: default.")
    ] = None,
    setting: Settings = None,
    config: Annotated[Path | None, typer.Option(help="A YAML configuration instead of dataset and preset.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder to make; unset: named in the workspace.")] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="RUN", help="Start from this run's best weights; its log says what of them fitted."
        ),
    ] = None,
    go_on: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with --run where it is there already, as a job does that is queued again."
        ),
    ] = False,
    no_wait: console.NoWait = False,
    as_json: console.JsonFlag = False,
) -> None:
    """Train the side-adapted networks on cached states; the run folder holds everything about it.

    Example: iisan train workspace/datasets/demo --preset demo --set training.epochs=20 --run workspace/runs/mine

    When log and catalogue have grown, another run's weights are a start: id vectors go by item id, what does not fit
    starts fresh and is named: iisan train workspace/datasets/demo --preset demo --from workspace/runs/mine
    """
    if config is not None:
        _refuse_beside_config({"a dataset folder": dataset, "--cache": cache, "--preset": preset})
        resolved = config_from_file(config, setting or [])
    elif dataset is not None:
        resolved = config_of(dataset, cache, preset or "default", setting or [])
    else:
        raise RefusedError("nothing to train on: give a dataset folder, or a configuration with --config")
    if start_from is not None:
        resolved = validated(RunConfig, resolved.model_dump() | {"start_from": start_from}, where="--from")
    if go_on and run is None:
        raise RefusedError("--resume goes on with a run, and none is named; name it with --run")
    together.start(resolved.training.processes)
    path = together.here().told(str(run or free_path(iisan_core.Workspace.default().runs, resolved)))
    if go_on and together.here().agreed(Path(path).exists()):
        _go_on_with_bar(RunFolder.open(path), resolved, wait=not no_wait)
    else:
        train_with_bar(resolved, Path(path), command=shlex.join(["iisan", *sys.argv[1:]]), wait=not no_wait)
    if together.leads():
        show_results(RunFolder.open(Path(path)), as_json=as_json)


def train_with_bar(config: RunConfig, path: Path, *, command: str, wait: bool = True) -> None:
    """Train in this process, as soon as the device is free, and say how it ended."""
    from app.jobs.devices import device_key
    from app.jobs.queue import DeviceQueue, held_devices
    from iisan_core.runs.train import prepare

    key = device_key(config.training.device)
    if not wait and key not in held_devices() and (taken := DeviceQueue(key).waiting()):
        raise RefusedError(f"device {key} is taken by {taken[0]}; wait for it, or stop it with `iisan stop`")
    prepared = prepare(config, path, command=command, processes=together.here())
    _in_its_turn(prepared.folder, prepared.train(), wait=wait)


def resume_with_bar(run: RunFolder, *, wait: bool = True) -> None:
    """Begin or go on with a run in this process, as soon as its device is free, and say how it ended.

    Until then it imports no torch: a run in the queue costs little.
    """
    _in_its_turn(run, _resumed(run), wait=wait)


def _go_on_with_bar(run: RunFolder, config: RunConfig, *, wait: bool) -> None:
    """Train a run to its end, where it has not come to it; raises `RefusedError` if `config` is not the run's."""
    from iisan_core.runs.moved import same_run

    config = config.with_absolute_paths()
    if not same_run(run.config(), config):
        refuse_another(run.config(), config, where=run.path, remedy="name another one with --run")
    if together.here().agreed(run.status().state != "finished"):
        resume_with_bar(run, wait=wait)


def _resumed(run: RunFolder) -> Iterator[Event]:
    from iisan_core.runs.train import reopen

    yield from reopen(run, processes=together.here()).train()


def _in_its_turn(run: RunFolder, events: Iterator[Event], *, wait: bool) -> None:
    with together.on_turns(run, wait=wait):
        epochs = run.config().training.epochs
        ended = console.show_training(events, epochs=epochs, label=run.name, hidden=not together.leads())
    if not together.leads():
        return
    how = f"ended after epoch {ended.epochs} ({ended.reason}); best epoch {ended.best_epoch}"
    console.note(f"run {console.shortened(run.path)} {how}")


def show_results(run: RunFolder, *, as_json: bool) -> None:
    """Quality and cost of a run that has finished; a stopped one has none yet."""
    if run.status().state == "stopped":
        place = console.shortened(run.path)
        ways = f"go on with `iisan resume {place}`, or close it at its best epoch with `iisan finish {place}`"
        console.note(f"run {run.name} was stopped and has no results yet; {ways}")
        return
    results = run.results()
    if as_json:
        console.print_json(results)
        return
    quality = results["quality"]
    rows = [(subset, *values.values()) for subset, values in quality.items()]
    console.print_table(["", *quality["test"]], rows, title=run.name)


def _refuse_beside_config(given: dict[str, object]) -> None:
    named = [name for name, value in given.items() if value]
    if named:
        raise RefusedError(
            f"--config says all that {' and '.join(named)} would; leave one of them out, and change values with --set"
        )


def config_from_file(path: Path, settings: list[str]) -> RunConfig:
    """A run's YAML configuration with settings laid over."""
    values = load_config(path).model_dump(mode="json")
    return validated(RunConfig, with_settings(values, settings), where=str(path))


def config_of(dataset: Path, caches: list[Path] | None, preset: str, settings: list[str]) -> RunConfig:
    """A preset on a dataset and the caches named, or else its only ones, with settings laid over."""
    chosen = load_preset(preset)
    if caches:
        found = _by_modality(caches)
    else:
        source = iisan_core.Dataset.load(dataset)
        found = iisan_core.Workspace.default().only_caches(source, modalities=chosen.modalities)
    return chosen.config(dataset=dataset, caches=found, settings=settings)


def _by_modality(folders: list[Path]) -> dict[str, Path]:
    from iisan_core.runs.workspace import in_fusion_order

    chosen: dict[str, Path] = {}
    for folder in folders:
        modality = iisan_core.HiddenStateCache.open(folder).manifest.modality
        if modality in chosen:
            raise RefusedError(f"two {modality} caches, {chosen[modality]} and {folder}; choose one per modality")
        chosen[modality] = folder
    return in_fusion_order(chosen)


def free_path(runs: Path, config: RunConfig) -> Path:
    """The next run folder of its dataset's and towers' names that is not there yet."""
    stem = f"{config.dataset.name}-{'-'.join(config.caches) or config.recommender}"
    numbers = range(1, 2 + sum(1 for _ in runs.glob(f"{stem}-*")))
    return next(path for n in numbers if not (path := runs / f"{stem}-{n}").exists())
