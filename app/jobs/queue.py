"""One job per device at a time, first come, first served – kept by the operating system, not by a server.

Every job that wants a device draws a numbered ticket: a file that it holds locked. It has its turn when no lower ticket
is locked. Locks end with their process, however it ends, so nothing has to be cleared away after a kill. GPUs are
shared by all workspaces of a user; a processor is shared with everybody anyway, so there the jobs of one workspace
wait for each other.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from iisan_core.errors import RefusedError
from iisan_core.files import read_json, write_json
from iisan_core.runs.workspace import Workspace

RUNTIME = "IISAN_RUNTIME"
"""Variable that names another folder for tickets than the user's own."""

HELD = "IISAN_HELD_DEVICES"
"""Variable in which a process tells its children which devices they may use, because it has its turn on them."""

POLL_SECONDS = 0.3


@contextmanager
def turn(
    device: str, *, who: str, wait: bool = True, on_wait: Callable[[list[str]], None] = lambda ahead: None
) -> Iterator[None]:
    """Within the block this process, and what it starts, has `device` (a `device_key`) for itself.

    Until then `on_wait` is called with those that are ahead, whenever they change. A process that has the device
    already, or whose parent has, does not wait. Raises `RefusedError` if it would have to and must not (`wait`).
    """
    if device in held_devices():
        yield
        return
    queue = DeviceQueue(device)
    with queue.ticket(who) as number:
        told: list[str] | None = None
        while ahead := queue.ahead_of(number):
            if not wait:
                raise RefusedError(f"device {device} is taken by {ahead[0]}; wait for it, or stop it with `iisan stop`")
            if ahead != told:
                on_wait(ahead)
                told = ahead
            time.sleep(POLL_SECONDS)
        with _held(device):
            yield


def held_devices() -> set[str]:
    """Devices on which this process, or one of its parents, has its turn."""
    return set(filter(None, os.environ.get(HELD, "").split(",")))


class DeviceQueue:
    """The tickets of one device."""

    def __init__(self, device: str) -> None:
        place = device.replace(":", "-")
        if device == "cpu":
            place += "-" + hashlib.sha256(str(Workspace.default().root.resolve()).encode()).hexdigest()[:12]
        self.folder = _runtime() / place

    def waiting(self) -> list[str]:
        """Who has the device and who waits for it, in order."""
        return self.ahead_of(None)

    @contextmanager
    def ticket(self, who: str) -> Iterator[int]:
        """Draw the next ticket, and give it back at the end of the block."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._mutex():
            number = max(self._numbers(), default=0) + 1
            lock = FileLock(self._lock(number), blocking=False)
            lock.acquire()
            write_json(self._note(number), {"who": who, "pid": os.getpid()})
        try:
            yield number
        finally:
            with self._mutex():
                self._remove(number)
                lock.release()

    def ahead_of(self, number: int | None) -> list[str]:
        """Who holds a lower ticket; tickets whose process has gone are thrown away."""
        if not self.folder.is_dir():
            return []
        with self._mutex():
            lower = [n for n in sorted(self._numbers()) if number is None or n < number]
            return [self._who(n) for n in lower if not self._thrown_away(n)]

    def _thrown_away(self, number: int) -> bool:
        lock = FileLock(self._lock(number), blocking=False)
        try:
            lock.acquire()
        except Timeout:
            return False
        self._remove(number)
        lock.release()
        return True

    def _who(self, number: int) -> str:
        try:
            note = read_json(self._note(number), what="ticket")
            return f"{note['who']} (process {note['pid']})"
        except (RefusedError, KeyError, TypeError):
            return "another job"

    def _numbers(self) -> list[int]:
        return [int(path.stem) for path in self.folder.glob("*.ticket")]

    def _lock(self, number: int) -> Path:
        return self.folder / f"{number:08d}.ticket"

    def _note(self, number: int) -> Path:
        return self.folder / f"{number:08d}.json"

    def _remove(self, number: int) -> None:
        for path in (self._note(number), self._lock(number)):
            with suppress(FileNotFoundError):
                path.unlink()

    def _mutex(self) -> FileLock:
        return FileLock(self.folder / ".tickets.lock")


@contextmanager
def _held(device: str) -> Iterator[None]:
    before = held_devices()
    os.environ[HELD] = ",".join(sorted(before | {device}))
    try:
        yield
    finally:
        os.environ[HELD] = ",".join(sorted(before))


def _runtime() -> Path:
    if RUNTIME in os.environ:
        return Path(os.environ[RUNTIME])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "iisan-workbench" / "devices" / (platform.node() or "localhost")
