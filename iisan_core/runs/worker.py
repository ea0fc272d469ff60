"""The side of the process that does a job: alone in its folder, giving signs of life, naming what went wrong."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from iisan_core.errors import IisanError, RefusedError
from iisan_core.runs.job_folder import JobFolder
from iisan_core.runs.run_folder import RunFolder

BEAT_SECONDS = 1.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_at_work: list[JobFolder] = []
"""The job that this process is doing, if it is doing one; the innermost last."""
_beating: set[Path] = set()
"""Folders whose heartbeat a thread of this process renews."""


@contextmanager
def doing(folder: JobFolder) -> Iterator[None]:
    """Within the block this process does the job of `folder`, whoever asks."""
    _at_work.append(folder)
    try:
        yield
    finally:
        _at_work.remove(folder)


def current_job() -> JobFolder | None:
    """The job that this process is doing, the innermost; None where it is doing none."""
    return _at_work[-1] if _at_work else None


def is_at_work(folder: JobFolder) -> bool:
    """Whether this process is doing the job of `folder`."""
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
    training's own loop, which looks for itself and ends between two steps. A folder has one such thread: a training
    within a job of the shell leaves the heartbeat to that.
    """
    if folder.path in _beating:
        yield
        return
    _beating.add(folder.path)
    try:
        with beside(lambda ended: _beat(folder, ended, heed_stop), name="heartbeat"):
            yield
    finally:
        _beating.discard(folder.path)


@contextmanager
def beside(work: Callable[[threading.Event], None], *, name: str) -> Iterator[None]:
    """Within the block a thread does `work`, which has to return once the event that it is given is set."""
    ended = threading.Event()
    thread = threading.Thread(target=work, args=(ended,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


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
