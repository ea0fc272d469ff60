"""Find jobs again: whatever lies in a workspace, whoever started it, however it ended."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from iisan_core.config.schema import validated
from iisan_core.errors import RefusedError
from iisan_core.files import read_json
from iisan_core.runs.job_folder import CARD, STATUS, JobFolder
from iisan_core.runs.run_folder import CONFIG, RunFolder
from iisan_core.runs.status import Status
from iisan_core.runs.workspace import Workspace


@dataclass(frozen=True)
class Listed:
    """A job as it is found. Either `status` or `problem` is there: a broken folder never hides the others."""

    folder: JobFolder
    status: Status | None
    problem: str = ""

    @property
    def is_run(self) -> bool:
        """Whether it is a training."""
        return isinstance(self.folder, RunFolder)

    @property
    def active(self) -> bool:
        """Whether it is at work or waits for its device."""
        return self.status is not None and self.status.active


def jobs_in(workspace: Workspace) -> list[Listed]:
    """Runs and other jobs of a workspace, newest first."""
    return sorted([*runs_in(workspace), *_listed(workspace.jobs)], key=_age)


def runs_in(workspace: Workspace) -> list[Listed]:
    """The runs of a workspace, newest first."""
    return sorted(_listed(workspace.runs), key=_age)


def glance(workspace: Workspace) -> list[Listed]:
    """Runs and other jobs by their status alone, in no order: for whoever looks every other second.

    What is broken is left out, and nothing is opened; a status is read once per change.
    """
    runs = [RunFolder(path) for path in _with(workspace.runs, CONFIG)]
    jobs = [JobFolder(path) for path in _with(workspace.jobs, CARD)]
    found = []
    for folder in [*runs, *jobs]:
        try:
            found.append(Listed(folder, status_of(folder)))
        except (RefusedError, OSError):
            continue
    return found


def _with(shelf: Path, name: str) -> list[Path]:
    if not shelf.is_dir():
        return []
    return [path for path in shelf.iterdir() if not path.name.startswith(".") and (path / name).is_file()]


def status_of(folder: JobFolder) -> Status:
    """How a job stands, as `JobFolder.status` says it; one that is over is read once per change."""
    path = folder.path / STATUS
    try:
        found = path.stat()
    except OSError:
        return folder.status()
    status = _status(path, found.st_mtime_ns, found.st_size)
    return folder.status() if status.active else status


@lru_cache(maxsize=4096)
def _status(path: Path, changed: int, size: int) -> Status:
    return validated(Status, read_json(path, what="status of a run"), where=str(path))


def open_folder(path: str | Path) -> JobFolder:
    """The run or job folder at `path`; raises `RefusedError` if it is neither, or both."""
    if not (Path(path) / CARD).is_file():
        return RunFolder.open(path)
    if (Path(path) / CONFIG).exists():
        raise RefusedError(f"{path} holds both {CONFIG} and {CARD}, so it is neither a run nor a job of this program")
    return JobFolder.open(path)


def _listed(shelf: Path) -> list[Listed]:
    if not shelf.is_dir():
        return []
    return [_look(path) for path in shelf.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _look(path: Path) -> Listed:
    try:
        folder = open_folder(path)
    except (RefusedError, OSError) as error:
        return Listed(JobFolder(path), None, str(error))
    try:
        return Listed(folder, folder.status())
    except (RefusedError, OSError) as error:
        return Listed(folder, None, str(error))


def _age(listed: Listed) -> float:
    """Sorts the folder last changed first; one that has just gone comes last."""
    try:
        return -listed.folder.path.stat().st_mtime
    except OSError:
        return 0.0
