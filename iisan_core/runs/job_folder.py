"""A job's folder: what a piece of work says about itself, to whoever watches it.

job.json             what runs: a verb with its arguments, and on which device
command.txt          the same for human eyes            status.json    how it stands, replaced in one step
output.log           what the process printed           stop           there while somebody asks it to stop

A run folder is one, too: its config.yaml stands for job.json.
"""

from __future__ import annotations

import json
import os
import shlex
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from iisan_core.config.places import default_root, workspace_of, written
from iisan_core.config.schema import Strict, validated
from iisan_core.errors import RefusedError
from iisan_core.files import new_folder, read_json, write_json, write_text
from iisan_core.runs.sealing import is_sealed, seal_of
from iisan_core.runs.status import State, Status, Steps, is_alive, oom_kills, start_time, this_process, why_vanished

CARD, COMMAND, STATUS, OUTPUT, STOP_FILE = "job.json", "command.txt", "status.json", "output.log", "stop"

NEVER_STARTED = "it was never started, or broke off before it could say so"


IN_WORKSPACE = "{workspace}/"
"""How an argument begins in the file that is a path in the workspace."""


class JobCard(Strict):
    """`job.json`: what is needed to run the job, now or again.

    In the file, the workspace is the one that the job's folder lies in, and paths in it are relative to it.
    """

    argv: tuple[str, ...]
    """A verb of the shell with its arguments."""
    device: str | None = None
    """`auto`, `cpu` or `cuda`; none: it waits for nobody."""
    workspace: Path
    folder: Path
    """The working folder, from which relative paths are meant."""
    seal: str = ""
    """By which it is known as made here (`sealing`)."""

    def written(self, record: Path) -> dict[str, Any]:
        """Its values as they stand in the file `record`."""
        values = self.model_dump(mode="json")
        root = workspace_of(record)
        if root is None or root != self.workspace.resolve():
            return values
        argv = [self._in_workspace(argument, root) for argument in self.argv]
        return values | {"argv": argv, "workspace": ".", "folder": written(self.folder, record=record)}

    def _in_workspace(self, argument: str, root: Path) -> str:
        place = (self.folder / argument).resolve()
        is_path = "/" in argument and place.is_relative_to(root) and place.exists()
        return f"{IN_WORKSPACE}{place.relative_to(root).as_posix()}" if is_path else argument

    def found(self, record: Path) -> JobCard:
        """The card that stands in `record`, with the workspace where it lies now.

        A card of before names its workspace by an absolute path; what its arguments name there is meant here.
        """
        root = workspace_of(record)
        if root is None and self.workspace.is_absolute():
            return self
        root = root or default_root().resolve()  # of a job's folder that was copied away alone
        before = str(self.workspace) if self.workspace.is_absolute() else IN_WORKSPACE.rstrip("/")
        argv = [_moved(argument, before, root) for argument in self.argv]
        folder = Path(_moved(str(root / self.folder), before, root))
        places = {"workspace": root, "folder": folder if folder.is_dir() else root}
        return self.model_copy(update={"argv": tuple(argv), **places})


def _moved(argument: str, before: str, root: Path) -> str:
    """An argument that named a place in the workspace `before` as the place in the workspace `root`."""
    inside = argument == before or argument.startswith(f"{before}/")
    return f"{root}{argument.removeprefix(before)}" if inside else argument


Folder = TypeVar("Folder", bound="JobFolder")

_writing = threading.RLock()

_written: dict[Path, Status] = {}
"""What this process last said of each folder; the heartbeat repeats it."""


@dataclass(frozen=True)
class JobFolder:
    """Paths of a job, and reading and writing of its records."""

    path: Path

    @classmethod
    def create_job(cls, path: Path, *, card: JobCard) -> JobFolder:
        """Make a new job folder; raises `RefusedError` if `path` is taken."""
        with new_folder(path) as folder:
            values = card.written(folder / CARD)
            write_json(folder / CARD, values | {"seal": seal_of(values, job=path)})
            write_text(folder / COMMAND, shlex.join(["iisan", *card.argv]) + "\n")
        return JobFolder(path)

    @classmethod
    def open(cls: type[Folder], path: str | Path) -> Folder:
        """An existing job folder; raises `RefusedError` if `path` is none."""
        path = Path(path)
        if not (path / CARD).is_file():
            raise RefusedError(f"{path} is no job folder: it has no {CARD}")
        return cls(path)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def output(self) -> Path:
        """What the detached process printed."""
        return self.path / OUTPUT

    @property
    def log(self) -> Path:
        """What to read to know what happened."""
        return self.output

    def card(self) -> JobCard:
        """What runs; raises `RefusedError` where that cannot be read."""
        path = self.path / CARD
        return validated(JobCard, read_json(path, what="job"), where=str(path)).found(path)

    def is_ours(self) -> bool:
        """Whether this user made the job on this machine; raises `RefusedError` where its card cannot be read."""
        values = read_json(self.path / CARD, what="job")
        return isinstance(values, dict) and is_sealed(values, job=self.path)

    def command(self) -> str:
        """How it was started, as one would type it."""
        path = self.path / COMMAND
        return path.read_text(encoding="utf-8").strip() if path.is_file() else ""

    def log_tail(self, lines: int = 20, *, of: Path | None = None) -> list[str]:
        """The last lines of the log, or of the file `of`; none while nothing is written.

        Reads a bounded end of the file, so that a long log costs nothing.
        """
        path = of or self.log
        if not path.is_file():
            return []
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 400 * lines))
            text = stream.read().decode("utf-8", errors="replace")
        return text.splitlines()[-lines:]

    def status(self) -> Status:
        """How the job stands; one whose process has vanished is `interrupted`, and says what is known of it."""
        path = self.path / STATUS
        if not path.is_file():
            return Status(state="interrupted", pid=0, pid_started=0, heartbeat=0, message=NEVER_STARTED)
        status = validated(Status, read_json(path, what="status of a run"), where=str(path))
        if status.active and not is_alive(status):
            return status.model_copy(
                update={"state": "interrupted", "message": why_vanished(status, less_memory=self.less_memory)}
            )
        return status

    def less_memory(self) -> str:
        """What to do where memory was lacking."""
        return "free some memory, or let it do less at once"

    def write_status(
        self,
        state: State,
        *,
        epoch: int | None = None,
        epochs: int | None = None,
        message: str = "",
        device: str | None = None,
        steps: Steps | None = None,
        gpu_memory_bytes: int | None = None,
    ) -> None:
        """Say how the job stands, as the process that does it. What is None stays as it was."""
        given = {"epoch": epoch, "epochs": epochs, "device": device, "gpu_memory_bytes": gpu_memory_bytes}
        with _writing:
            before = self._last_said()
            since = before.since if before and before.state == state else time.time()
            values = (before.model_dump() if before else {}) | {k: v for k, v in given.items() if v is not None}
            values |= {"state": state, "since": since, "message": message, "steps": steps, **this_process()}
            self._write(Status.model_validate(values))

    def beat(self) -> None:
        """Give a sign of life: repeat what this process last said, unless that was the end."""
        with _writing:
            last = _written.get(self.path)
            if last and last.active:
                self._write(last.model_copy(update=this_process()))

    def announce(self, pid: int, *, before: Status) -> None:
        """Say for a process that was just started that it starts, unless it has spoken itself by now.

        `before`: how the job stood, the epochs of which stay known.
        """
        started = {"state": "starting", "pid": pid, "pid_started": start_time(pid), "since": time.time()}
        kept = before.model_dump(include={"epoch", "epochs", "device"})
        status = Status.model_validate(started | kept | {"heartbeat": time.time(), "oom_kills": oom_kills()})
        handle, name = tempfile.mkstemp(prefix=f".{STATUS}.", suffix=".tmp", dir=self.path)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(_as_text(status))
            os.link(name, self.path / STATUS)
        except FileExistsError:
            pass  # the process was quicker, and knows better
        finally:
            Path(name).unlink(missing_ok=True)

    def forget_status(self) -> None:
        """Make room for the words of a new process."""
        (self.path / STATUS).unlink(missing_ok=True)

    def close_status(self, state: State, *, message: str) -> None:
        """Say how a job ended whose process can no longer say so itself."""
        with _writing:
            status = self.status().model_copy(update={"state": state, "message": message, "since": time.time()})
            write_json(self.path / STATUS, status.model_dump())

    def ask_to_stop(self) -> None:
        """Leave the stop file; the job ends at its next look."""
        write_text(self.path / STOP_FILE, "")

    def stop_asked(self) -> bool:
        """Whether the stop file is there."""
        return (self.path / STOP_FILE).exists()

    def withdraw_stop(self) -> None:
        """Remove the stop file."""
        (self.path / STOP_FILE).unlink(missing_ok=True)

    def _last_said(self) -> Status | None:
        """What this process said, else what an earlier one left."""
        path = self.path / STATUS
        if self.path in _written or not path.is_file():
            return _written.get(self.path)
        try:
            return validated(Status, read_json(path, what="status of a run"), where=str(path))
        except RefusedError:  # another version's, or damaged: whoever works now says everything anew
            return None

    def _write(self, status: Status) -> None:
        _written[self.path] = status
        try:
            write_json(self.path / STATUS, status.model_dump())
        except OSError:  # a full disk: the words fit where the last ones stand
            _overwrite(self.path / STATUS, _as_text(status))


def _as_text(status: Status) -> str:
    return json.dumps(status.model_dump(), indent=2, ensure_ascii=False) + "\n"


def _overwrite(path: Path, text: str) -> None:
    with path.open("r+", encoding="utf-8") as stream:
        stream.write(text)
        stream.truncate()
