"""One extraction at a time into a cache folder."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from iisan_core.errors import RefusedError
from iisan_core.files import read_json, write_json


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Within the block, no other process writes to the cache `folder`, nor does another extraction of this one.

    The lock lies beside the folder, which may be removed and made anew meanwhile. The operating system lets it go
    when its process ends, however it ends, so that nothing has to be cleared away after a kill.

    Raises `RefusedError` naming the process that is at work there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    owner = folder.with_name(f".{folder.name}.owner.json")
    with _locked(_beside(folder, "lock"), lambda: f"{_said_by(owner)} is extracting into {folder}"):
        for straggler in sorted(folder.parent.glob(_beside(folder, "rank*.lock").name)):
            with _locked(straggler, lambda: f"a process of an extraction that broke off still writes to {folder}"):
                pass
        try:
            write_json(owner, _myself())
            yield
        finally:
            owner.unlink(missing_ok=True)


@contextmanager
def one_of_several(folder: Path, rank: int) -> Iterator[None]:
    """Within the block, this process writes to `folder` beside the one that has it by `only_one`.

    So that, should that one end first, nobody else begins before this one has ended, too.
    """
    with _locked(_beside(folder, f"rank{rank}.lock"), lambda: f"another process of rank {rank} writes to {folder}"):
        yield


@contextmanager
def _locked(path: Path, otherwise: Callable[[], str]) -> Iterator[None]:
    lock = FileLock(path, blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise RefusedError(f"{otherwise()}; wait until it is done, or stop it and run the same again") from None
    try:
        yield
    finally:
        lock.release()


def _beside(folder: Path, ending: str) -> Path:
    return folder.with_name(f".{folder.name}.{ending}")


def _myself() -> dict[str, object]:
    return {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def _said_by(owner: Path) -> str:
    try:
        facts = read_json(owner, what="lock owner")
        return f"process {facts['pid']} on {facts['host']} (since {facts['since']})"
    except (RefusedError, KeyError):  # it has the lock and has not yet said so
        return "another process"
