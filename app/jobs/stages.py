"""The stages of a job that has several: which is under way, how long each took, and what came of it.

    stages = Stages("data", "backbones")
    with stages.at("data") as came_of_it:
        came_of_it("1,800 items")

Whoever watches reads `stages.json` in the job's folder; work that is no job keeps them to itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from iisan_core.config.schema import Strict, validated
from iisan_core.errors import RefusedError
from iisan_core.files import read_json, write_json
from iisan_core.runs.worker import current_job

FILE = "stages.json"


class Stage(Strict):
    """One of them."""

    name: str
    began: float = 0.0
    """In seconds since 1970; 0 while it has not begun."""
    ended: float = 0.0
    result: str = ""
    """What came of it, in a few words."""

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return (self.ended or time.time()) - self.began if self.began else 0.0


class Stages:
    """The stages of what this process does, in their order."""

    def __init__(self, *names: str) -> None:
        job = current_job()
        self._file: Path | None = job.path / FILE if job else None
        self._stages = [Stage(name=name) for name in names]
        self._write()

    @contextmanager
    def at(self, name: str) -> Iterator[Callable[[str], None]]:
        """Within the block this stage is under way; call what is yielded with what came of it."""
        self._change(name, began=time.time())
        yield lambda result: self._change(name, result=result)
        self._change(name, ended=time.time())

    @property
    def seconds(self) -> dict[str, float]:
        """Stage → how long it took; those that have ended."""
        return {stage.name: stage.seconds for stage in self._stages if stage.ended}

    def _change(self, name: str, **changes: object) -> None:
        self._stages = [s.model_copy(update=changes) if s.name == name else s for s in self._stages]
        self._write()

    def _write(self) -> None:
        if self._file is not None:
            write_json(self._file, [stage.model_dump() for stage in self._stages])


def stages_of(folder: Path) -> list[Stage]:
    """The stages of a job; none where it has none, or none that can be read."""
    try:
        found = read_json(folder / FILE, what="stages")
        return [validated(Stage, each, where=str(folder / FILE)) for each in found]
    except (RefusedError, OSError, TypeError):
        return []
