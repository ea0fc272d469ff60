"""Runs from start to end: a new one, one that goes on, one that is to be there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from iisan_core.computing.processes import ALONE, ProcessGroup
from iisan_core.config.schema import RunConfig, refuse_another
from iisan_core.runs.moved import same_run
from iisan_core.runs.prepared import PreparedRun
from iisan_core.runs.results import (
    read_item_ids,
)
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.start import Start, keep_start
from iisan_core.runs.tracking import refuse_absent
from iisan_core.runs.worker import is_at_work, only_worker
from iisan_core.training.device import (
    check_compiler,
    choose_device,
    precision_of,
)
from iisan_core.training.events import Event
from iisan_core.training.inputs import RunInputs


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


def prepare(
    config: RunConfig,
    path: str | Path,
    *,
    command: str = "",
    inputs: RunInputs | None = None,
    processes: ProcessGroup = ALONE,
) -> PreparedRun:
    """Make the run folder `path`; raises `RefusedError` before it exists if `config` names what cannot be used.

    Of `processes` that train together, the first one makes it.
    """
    config = config.with_absolute_paths().refuse_unlearnable()
    inputs = inputs or RunInputs.open(config)
    device = choose_device(config.training.device)
    if config.baseline is None and not config.members:
        widths = [max(cache.manifest.widths) for cache in inputs.caches.values()]
        config = config.with_precision(precision_of(config.training, device=device, widest=max(widths, default=0)))
    inputs.placement(device, config.training.states)
    if config.training.compile:
        check_compiler(device)
    refuse_absent(config)
    start = Start.of_run(config.start_from) if config.start_from else None
    if processes.leads:
        folder = RunFolder.create(Path(path), config=config, command=command or " ".join(sys.argv))
        if start is not None:
            start.save(folder)
    processes.wait()
    return PreparedRun(RunFolder.open(Path(path)), inputs, device, processes)


def reopen(run: RunFolder, *, inputs: RunInputs | None = None, processes: ProcessGroup = ALONE) -> PreparedRun:
    """An existing run with what it works on; raises `RefusedError` if it is being trained, or that is not there."""
    config = run.usable_config()
    with only_worker(run) if processes.leads else nullcontext():
        if processes.leads and not is_at_work(run):
            run.withdraw_stop()
        if inputs is None or read_item_ids(run) not in (None, inputs.split.item_ids):
            inputs = RunInputs.open(config, item_ids=read_item_ids(run))
        if processes.leads:
            keep_start(run, config)
        processes.wait()
        return PreparedRun(run, inputs, choose_device(config.training.device), processes)
