"""The side of the process that does a job: alone in its folder, on its device's turn, alive, and stoppable."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from iisan_core.errors import IisanError, RefusedError
from iisan_core.job_folder import JobFolder
from iisan_core.jobs.devices import device_key
from iisan_core.jobs.queue import turn
from iisan_core.run_folder import RunFolder
from iisan_core.status import State, Steps

BEAT_SECONDS = 1.0
STOPPED = "stopped on request"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
STARTED = "IISAN_STARTED"
"""Variable that names, to a detached process, the folder whose job it was started for."""

_at_work: list[JobFolder] = []
"""The job that this process is doing, if it is doing one; the innermost last."""


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
    the stop file or SIGTERM in whatever phase it is, and writes down how the block ended where the block has not.
    Raises `RefusedError` if another process does the job, or the device is taken and `wait` is off.
    """
    with only_worker(folder), _stoppable():
        if os.environ.get(STARTED) != str(folder.path.resolve()):
            folder.withdraw_stop()  # else the starter has done so, and a stop file is for us
        folder.write_status("starting", device=device_key(device) if device else "")
        _at_work.append(folder)
        try:
            with heartbeat(folder, heed_stop=True), _on_turn(folder, device, wait=wait, on_wait=on_wait):
                yield
            _close(folder, "finished", "")
        except (KeyboardInterrupt, GeneratorExit):
            _close(folder, "stopped", STOPPED)
            raise
        except BaseException as error:
            _close(folder, "failed", in_words(error))
            raise
        finally:
            _at_work.remove(folder)


def is_at_work(folder: JobFolder) -> bool:
    """Whether this process is within `at_work` of `folder`."""
    return folder in _at_work


@contextmanager
def only_worker(folder: JobFolder) -> Iterator[None]:
    """Within the block no other process, and no other thread of this one, does the job of `folder`.

    Raises `RefusedError` naming the process that does. The lock ends with its process, however it ends.
    """
    if is_at_work(folder):
        yield
        return
    lock = FileLock(lock_of(folder.path), blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise RefusedError(
            f"run {folder.path} is being trained by process {folder.status().pid}; stop it first with `iisan stop`"
            if isinstance(folder, RunFolder)
            else f"job {folder.path} is being done by process {folder.status().pid}; stop it first with `iisan stop`"
        ) from None
    try:
        yield
    finally:
        lock.release()


def lock_of(path: Path) -> Path:
    """The lock of a job's folder; beside it, so that the folder holds nothing but records."""
    return path.with_name(f".{path.name}.lock")


@contextmanager
def heartbeat(folder: JobFolder, *, heed_stop: bool = False) -> Iterator[None]:
    """Within the block a thread renews the heartbeat in `status.json`, however long a step takes.

    With `heed_stop` it also looks for the stop file, and sends this process SIGTERM when it is there – save in a
    training's own loop, which looks for itself and ends between two steps.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_beat, args=(folder, ended, heed_stop), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def report_steps(doing: str, *, done: int, total: int) -> None:
    """Say how far the job is that this process is doing; nothing to say where it is doing none.

    A training says so itself; this is for extractions, demos and studies.
    """
    if _at_work and not isinstance(_at_work[-1], RunFolder):
        _at_work[-1].write_status("running", steps=Steps(doing=doing, done=done, total=total))


def in_words(error: BaseException) -> str:
    """An error as a sentence for `status.json`; what users can mend says how."""
    if _is_full_disk(error):
        return f"the disk is full ({error}); free some space and go on with `iisan resume`"
    if isinstance(error, IisanError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _is_full_disk(error: BaseException) -> bool:
    """Whether there was no room to write; safetensors puts the number of the error into its words only."""
    if isinstance(error, OSError):
        return error.errno in FULL
    return any(f"(os error {number})" in str(error) for number in FULL)


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


def _beat(folder: JobFolder, ended: threading.Event, heed_stop: bool) -> None:
    signalled = False
    while not ended.wait(BEAT_SECONDS):
        with suppress(OSError):  # a full disk, or a folder that somebody removed: the work itself will find out
            folder.beat()
        if heed_stop and not signalled and folder.stop_asked() and not _looks_itself(folder):
            signalled = True
            os.kill(os.getpid(), signal.SIGTERM)


def _looks_itself(folder: JobFolder) -> bool:
    return isinstance(folder, RunFolder) and folder.status().state == "running"
