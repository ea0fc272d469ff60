"""`iisan train`, `resume` and `stop`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from app.shell.output import JsonFlag, note, print_json, print_table
from app.shell.progress import shortened, show_training
from iisan_core.cache.store import HiddenStateCache
from iisan_core.config import RunConfig, load_config
from iisan_core.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.presets import load_preset, preset_names, with_settings
from iisan_core.run_folder import RunFolder
from iisan_core.training.run import resume as resume_run
from iisan_core.training.run import train as train_run
from iisan_core.validation import validated
from iisan_core.workspace import Workspace, in_fusion_order

RunPath = Annotated[Path, typer.Argument(help="A run folder.")]


def train(
    dataset: Annotated[Path | None, typer.Argument(help="A dataset folder; not needed with --config.")] = None,
    cache: Annotated[
        list[Path] | None, typer.Option(help="A hidden-state cache, one per modality; unset: the dataset's only ones.")
    ] = None,
    preset: Annotated[str, typer.Option(help=f"Starting point: {', '.join(preset_names())}.")] = "default",
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Change one value, such as training.epochs=5; repeatable.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML configuration instead of dataset and preset.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder to make; unset: named in the workspace.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Train the side-adapted networks on cached states; the run folder holds everything about it.

    Example: iisan train workspace/datasets/demo --preset demo --set training.epochs=20 --run workspace/runs/mine
    """
    resolved = _from_file(config, setting or []) if config else _from_preset(dataset, cache, preset, setting or [])
    path = run or _free_path(Workspace.default().runs, resolved)
    train_with_bar(resolved, path, command=shlex.join(["iisan", *sys.argv[1:]]))
    show_results(RunFolder.open(path), as_json=as_json)


def resume(run: RunPath, as_json: JsonFlag = False) -> None:
    """Go on with a run that was stopped or interrupted, from its last finished epoch.

    Example: iisan resume workspace/runs/mine
    """
    folder = RunFolder.open(run)
    show_training(resume_run(folder), epochs=folder.config().training.epochs, label=folder.name)
    show_results(folder, as_json=as_json)


def stop(run: RunPath) -> None:
    """Ask a run to stop; its checkpoint is kept, `iisan resume` goes on from there.

    Example: iisan stop workspace/runs/mine
    """
    folder = RunFolder.open(run)
    folder.ask_to_stop()
    note(f"asked run {folder.name} to stop; it is {folder.status().state} at this moment")


def train_with_bar(config: RunConfig, path: Path, *, command: str) -> None:
    """Train with a progress bar, and say how it ended."""
    ended = show_training(train_run(config, path, command=command), epochs=config.training.epochs, label=path.name)
    note(f"run {shortened(path)} ended after epoch {ended.epochs} ({ended.reason}); best epoch {ended.best_epoch}")


def show_results(run: RunFolder, *, as_json: bool) -> None:
    """Quality and cost of a run that has finished; a stopped one has none yet."""
    if run.status().state == "stopped":
        note(f"run {run.name} was stopped and has no results yet; go on with `iisan resume {shortened(run.path)}`")
        return
    results = run.results()
    if as_json:
        print_json(results)
        return
    quality = results["quality"]
    print_table(["", *quality["test"]], [(part, *values.values()) for part, values in quality.items()], title=run.name)


def _from_file(path: Path, settings: list[str]) -> RunConfig:
    values = load_config(path).model_dump(mode="json")
    return validated(RunConfig, with_settings(values, settings), where=str(path))


def _from_preset(dataset: Path | None, caches: list[Path] | None, preset: str, settings: list[str]) -> RunConfig:
    if dataset is None:
        raise RefusedError("nothing to train on: give a dataset folder, or a configuration with --config")
    values: dict[str, Any] = load_preset(preset).model_dump(mode="json", exclude={"description", "measured"})
    values["dataset"] = str(dataset)
    chosen = _by_modality(caches) if caches else Workspace.default().only_caches(Dataset.load(dataset))
    values["caches"] = {name: str(folder) for name, folder in chosen.items()}
    return validated(RunConfig, with_settings(values, settings), where=f"preset {preset} with its settings")


def _by_modality(folders: list[Path]) -> dict[str, Path]:
    chosen: dict[str, Path] = {}
    for folder in folders:
        modality = HiddenStateCache.open(folder).manifest.modality
        if modality in chosen:
            raise RefusedError(f"two {modality} caches, {chosen[modality]} and {folder}; choose one per modality")
        chosen[modality] = folder
    return in_fusion_order(chosen)


def _free_path(runs: Path, config: RunConfig) -> Path:
    stem = f"{config.dataset.name}-{'-'.join(config.caches)}"
    numbers = range(1, 2 + sum(1 for _ in runs.glob(f"{stem}-*")))
    return next(path for n in numbers if not (path := runs / f"{stem}-{n}").exists())
