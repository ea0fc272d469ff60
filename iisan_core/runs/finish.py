"""Close a run before its end: what it has at its best epoch becomes its outcome."""

from __future__ import annotations

from typing import Any

from iisan_core.errors import RefusedError
from iisan_core.model.saving import WEIGHTS, load_model
from iisan_core.runs.results import read_item_ids, write_outcome
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.worker import heartbeat, is_at_work, only_worker
from iisan_core.training.corruption import corrupted
from iisan_core.training.device import choose_device, reset_peak_memory
from iisan_core.training.inputs import RunInputs


def finish(run: RunFolder) -> dict[str, Any]:
    """Close a run that was stopped, broke off or diverged at its best epoch, as its end would have.

    Args:
        run: its folder, `RunFolder.open(path)`. What it has is measured and kept, so that it can be compared and
            recommended from; `resume` can still go on with it.

    Returns:
        Its results.

    Raises:
        RefusedError: it has finished, is at work or has no best epoch, or what it was trained on cannot be used.

    Example:
        >>> events = train(config, folder / "stopped")
        >>> while not hasattr(next(events), "best_epoch"):    # until an epoch has ended
        ...     pass
        >>> events.close()
        >>> stopped = RunFolder.open(folder / "stopped")
        >>> sorted(finish(stopped)["quality"]), stopped.status().state
        (['test', 'valid'], 'finished')
    """
    check_unfinished(run)
    with only_worker(run), heartbeat(run):
        config = run.usable_config()
        *_, last = (event for event in run.events() if event["event"] == "epoch")
        inputs, device = RunInputs.open(config, item_ids=read_item_ids(run)), choose_device(config.training.device)
        reset_peak_memory(device)
        states = corrupted(inputs.states(device), config.corruption)
        results = write_outcome(run, load_model(run.best).to(device), states, inputs, config)
        said = f"finished at its best epoch {last['best_epoch']}, after {last['epoch']} of {config.training.epochs}"
        run.write_log(said)
        run.withdraw_stop()
        run.write_status("finished", epoch=last["epoch"], epochs=config.training.epochs, message=said)
    return results


def check_unfinished(run: RunFolder) -> None:
    """Raise `RefusedError` for a run that cannot be closed: it has finished, is at work, or has no best epoch."""
    status = run.status()
    if status.active and not is_at_work(run):
        raise RefusedError(f"run {run.path} is {status.state}; stop it first with `iisan stop`, or let it end")
    if status.state == "finished":
        raise RefusedError(f"run {run.path} has finished already; there is nothing to close")
    has_epoch = any(event["event"] == "epoch" for event in run.events())
    if not has_epoch or not (run.best / WEIGHTS).is_file():
        raise RefusedError(f"run {run.path} has no best epoch yet; go on with `iisan resume` for an epoch at least")
