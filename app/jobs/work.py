"""The side of the process that does a job: alone in its folder, on its device's turn, alive, and stoppable."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, SimpleNamespace

from app.jobs.devices import device_key
from app.jobs.queue import turn
from iisan_core.errors import IisanError
from iisan_core.runs.job_folder import JobFolder
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.status import State, Steps
from iisan_core.runs.worker import current_job, doing, heartbeat, in_words, only_worker

STOPPED = "stopped on request"

STARTED = "IISAN_STARTED"
"""Variable that names, to a detached process, the folder whose job it was started for."""


class WantedBackError(IisanError):
    """A cluster wants its machine back and has sent SIGUSR1: what is finished is kept, the same command goes on.

    Its exit code is the one for "try again later", by which job files know that they are to be queued again.
    """

    exit_code = os.EX_TEMPFAIL

    def __init__(self, kept: str) -> None:
        super().__init__(f"stopped because this machine is wanted back (SIGUSR1); {kept}")


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
    the stop file, SIGTERM or SIGUSR1 in whatever phase it is, and writes down how the block ended where the block has
    not. Raises `RefusedError` if another process does the job, or the device is taken and `wait` is off, and
    `WantedBackError` where SIGUSR1 ended it.
    """
    with only_worker(folder), _stoppable(), _leaving(folder) as leaving:
        if os.environ.get(STARTED) != str(folder.path.resolve()):
            folder.withdraw_stop()  # else the starter has done so, and a stop file is for us
        folder.write_status("starting", device=device_key(device) if device else "")
        try:
            beating = heartbeat(folder, heed_stop=True)
            with doing(folder), beating, _on_turn(folder, device, wait=wait, on_wait=on_wait):
                yield
            _close(folder, "finished", "")
        except (KeyboardInterrupt, GeneratorExit, WantedBackError) as error:
            _close(folder, "stopped", STOPPED)
            _say_why(folder, asked=leaving.asked or isinstance(error, WantedBackError))
            raise
        except BaseException as error:
            _close(folder, "failed", in_words(error))
            raise
        _say_why(folder, asked=leaving.asked)


@contextmanager
def leaving_when_asked(kept: str) -> Iterator[None]:
    """Within the block SIGUSR1 breaks off work that has no folder; raises `WantedBackError`, which says what is kept.

    For the main thread.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        leaving.asked = True
        raise KeyboardInterrupt  # which nothing on the way takes for a fault of an item

    leaving = SimpleNamespace(asked=False)
    before = signal.signal(signal.SIGUSR1, leave)
    try:
        yield
    except KeyboardInterrupt:
        if leaving.asked:
            raise WantedBackError(kept) from None
        raise
    finally:
        signal.signal(signal.SIGUSR1, before)


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


def _say_why(folder: JobFolder, *, asked: bool) -> None:
    """Where a job was stopped because it was asked to leave: write that down, and raise `WantedBackError`."""
    if asked and folder.status().state == "stopped":
        left = WantedBackError(f"the last finished epoch is kept, go on with `iisan resume {folder.path}`")
        folder.write_status("stopped", message=str(left))
        raise left from None


def _close(folder: JobFolder, state: State, message: str) -> None:
    """Write down how the work ended, unless it has said so itself."""
    if folder.status().active:
        folder.write_status(state, message=message)


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM becomes a KeyboardInterrupt, once: while that is worked off, a second one changes nothing."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _leaving(folder: JobFolder) -> Iterator[SimpleNamespace]:
    """SIGUSR1 leaves the stop file, by which a training ends between two steps, in all of its processes; `asked` then.

    The handler goes back to what it was with the block.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        leaving.asked = True
        folder.ask_to_stop()

    leaving = SimpleNamespace(asked=False)
    before = signal.signal(signal.SIGUSR1, leave)
    try:
        yield leaving
    finally:
        signal.signal(signal.SIGUSR1, before)
