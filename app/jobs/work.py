"""The side of the process that does a job: alone in its folder, on its device's turn, alive, and stoppable."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, SimpleNamespace

from app.jobs.devices import device_key
from app.jobs.machine_log import recorded
from app.jobs.queue import turn
from app.jobs.stopping import StoppedError, farewell, stoppable
from iisan_core.runs.job_folder import JobFolder
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.status import State, Steps
from iisan_core.runs.worker import current_job, doing, heartbeat, in_words, only_worker

STOPPED = "stopped on request"

STARTED = "IISAN_STARTED"
"""Variable that names, to a detached process, the folder whose job it was started for."""


@contextmanager
def at_work(
    folder: JobFolder,
    *,
    device: str | None,
    wait: bool = True,
    on_wait: Callable[[list[str]], None] = lambda ahead: None,
) -> Iterator[None]:
    """Within the block this process does the job of `folder`; for the main thread of a process of its own.

    It waits as `queued` for `device` (`auto`, `cpu`, `cuda`; none: it waits for nobody), beats, ends as `stopped` by
    the stop file or a signal (`stopping`) in whatever phase it is, and writes down how the block ended where the block
    has not. Raises `RefusedError` if another process does the job, or the device is taken and `wait` is off, and
    `StoppedError` where a signal ended it.
    """
    with only_worker(folder), stoppable(), _leaving(folder) as leaving:
        if os.environ.get(STARTED) != str(folder.path.resolve()):
            folder.withdraw_stop()  # else the starter has done so, and a stop file is for us
        folder.write_status("starting", device=device_key(device) if device else "")
        try:
            beating = heartbeat(folder, heed_stop=True)
            with doing(folder), beating, _on_turn(folder, device, wait=wait, on_wait=on_wait), recorded(folder):
                yield
            _close(folder, "finished", "")
        except (KeyboardInterrupt, GeneratorExit):
            _close(folder, "stopped", STOPPED)
            _say_why(folder, asked=leaving.asked)
            raise
        except BaseException as error:
            _close(folder, "failed", in_words(error))
            raise
        _say_why(folder, asked=leaving.asked)


def report_steps(what: str, *, done: int, total: int) -> None:
    """Say how far the job is that this process is doing; nothing to say where it is doing none.

    A training says so itself; this is for extractions, demos and studies.
    """
    job = current_job()
    if job is not None and not isinstance(job, RunFolder):
        job.write_status("running", steps=Steps(doing=what, done=done, total=total))


@contextmanager
def _on_turn(
    folder: JobFolder, device: str | None, *, wait: bool, on_wait: Callable[[list[str]], None]
) -> Iterator[None]:
    if device is None:
        yield
        return

    def queued(ahead: list[str]) -> None:
        folder.write_status("queued", message=f"waits for {key}, behind {', '.join(ahead)}")
        on_wait(ahead)

    key = device_key(device)
    with turn(key, who=folder.name, wait=wait, on_wait=queued):
        folder.write_status("starting")
        yield


@contextmanager
def _leaving(folder: JobFolder) -> Iterator[SimpleNamespace]:
    """SIGUSR1 leaves a training's stop file, so that all of its processes end between the same two steps; `asked` then.

    What is no training it stops as the other signals do.
    """
    leaving = SimpleNamespace(asked=False)

    def leave(number: int, frame: FrameType | None) -> None:
        leaving.asked = True
        folder.ask_to_stop()

    if not isinstance(folder, RunFolder) or threading.current_thread() is not threading.main_thread():
        yield leaving
        return
    before = signal.signal(signal.SIGUSR1, leave)
    try:
        yield leaving
    finally:
        signal.signal(signal.SIGUSR1, before)


def _say_why(folder: JobFolder, *, asked: bool) -> None:
    """Where a training was stopped because it was asked to leave: write that down, and raise `StoppedError`."""
    if asked and folder.status().state == "stopped":
        stopped = StoppedError(signal.SIGUSR1)
        folder.write_status("stopped", message=farewell(stopped, verb="train"))
        raise stopped from None


def _close(folder: JobFolder, state: State, message: str) -> None:
    """Write down how the work ended, unless it has said so itself."""
    if folder.status().active:
        folder.write_status(state, message=message)
