"""The run folder: the only channel between a training and whoever watches it.

config.yaml          what decides the run            command.txt        how it was started
environment.json     versions and device             status.json        how it stands, replaced in one step
metrics.jsonl        one event a line                train.log          the same for human eyes
checkpoint/          what a resume needs             best/              model.safetensors, config.json
items.safetensors    item vectors at the best epoch  item_ids.parquet   whose they are, in their order: item_id, and
                                                     interactions, how often each was trained on
ranks.parquet        each user's ranks and first ten items at the best epoch, and what these lists are like
parts.safetensors    the same vectors split: tower → [N + 1, E], and bias [E]; together they sum to them
blend.json           what the score's parts weigh    together.safetensors   what is counted, a sparse matrix in rows
results.json         quality, efficiency, data, seed    output.log       what a detached process printed
start/               the weights of another run that this one started from; only where it did
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from iisan_core.config.places import config_read, require
from iisan_core.config.schema import RunConfig, read_yaml, save_config, validated
from iisan_core.errors import RefusedError
from iisan_core.files import (
    checked,
    new_folder,
    parse_json,
    read_object,
    refuse_links_outside,
    seal,
    write_json,
    write_text,
)
from iisan_core.runs.job_folder import COMMAND, JobFolder
from iisan_core.runs.status import MOST

CONFIG = "config.yaml"
SOURCE = "source.json"
"""In `start/`: the other run, and what became of each tensor."""


@dataclass(frozen=True)
class RunFolder(JobFolder):
    """Paths of a run, and reading and writing of its records.

    Example:
        >>> run = RunFolder.open(run.path)
        >>> run.status().state, sorted(run.results()["quality"])
        ('finished', ['test', 'valid'])
    """

    @classmethod
    def create(cls, path: Path, *, config: RunConfig, command: str) -> RunFolder:
        """Make a new run folder that holds its configuration; raises `RefusedError` if `path` is taken."""
        with new_folder(path) as folder:
            save_config(config, folder / CONFIG)
            write_text(folder / COMMAND, command + "\n")
            seal(folder, (CONFIG,))
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """An existing run folder; raises `RefusedError` if `path` is none, or holds links that lead out of it."""
        path = Path(path)
        if not (path / CONFIG).is_file():
            raise RefusedError(f"{path} is no run folder: it has no config.yaml; start a run with `iisan train`")
        refuse_links_outside(path)
        return cls(path)

    @property
    def checkpoint(self) -> Path:
        """Where everything lies that a resume needs."""
        return self.path / "checkpoint"

    @property
    def best(self) -> Path:
        """The model at its best validation epoch: `model.safetensors` and `config.json`."""
        return self.path / "best"

    @property
    def start(self) -> Path:
        """The weights of another run that this one starts from, where it does."""
        return self.path / "start"

    @property
    def item_vectors(self) -> Path:
        """Item vectors at the best epoch."""
        return self.path / "items.safetensors"

    @property
    def item_ids(self) -> Path:
        """The ids of the items that the vectors belong to, in their order."""
        return self.path / "item_ids.parquet"

    @property
    def item_parts(self) -> Path:
        """What each tower adds to the item vectors."""
        return self.path / "parts.safetensors"

    @property
    def blend(self) -> Path:
        """What the parts of a score weigh, by validation."""
        return self.path / "blend.json"

    @property
    def together(self) -> Path:
        """Which items stand together, counted from training."""
        return self.path / "together.safetensors"

    @property
    def ranks(self) -> Path:
        """Each user's ranks at the best epoch."""
        return self.path / "ranks.parquet"

    @property
    def log(self) -> Path:
        """The training log, for human eyes."""
        return self.path / "train.log"

    def config(self) -> RunConfig:
        """What decides the run, places absolute (`config.places`); raises `RefusedError` for paths with `..`."""
        path = self.path / CONFIG
        config = validated(RunConfig, config_read(read_yaml(path), record=path, strict=True), where=str(path))
        checked(path)
        return config

    def usable_config(self, *, caches: bool = True) -> RunConfig:
        """The same, for whoever reads the dataset that it names, and the caches.

        Raises `RefusedError` where one is gone, with the places where it was looked for.
        """
        config, path = self.config(), self.path / CONFIG
        named = read_yaml(path)
        require(config.dataset, named=named["dataset"], record=path, remedy="or import the data again under that name")
        for name, cache in config.caches.items() if caches else ():
            require(cache, named=named["caches"][name], record=path, remedy="or make it again with `iisan extract`")
        return config

    def less_memory(self) -> str:
        """The half of the batch: what its steps need grows at least in proportion to it."""
        size = self.config().training.batch_size
        return f"start anew with training.batch_size={max(2, size // 2)}, half of what it had"

    def results(self) -> dict[str, Any]:
        """Quality and efficiency; raises `RefusedError` while there are none."""
        path = checked(self.path / "results.json", broken=False)
        if not path.is_file():
            raise RefusedError(f"run {self.path} has no results yet; let it finish, or go on with `iisan resume`")
        results = read_object(path, what="results of a run")
        validated(_Results, results, where=str(path))
        checked(path)
        return results

    def write_results(self, results: dict[str, Any]) -> None:
        """Replace `results.json`."""
        write_json(self.path / "results.json", results)

    def write_log(self, line: str) -> None:
        """Add a line to `train.log`, with the time."""
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z  {line}\n")

    def append_event(self, record: dict[str, Any]) -> None:
        """Add one line to `metrics.jsonl`; what a crash left of an unfinished line is cut off."""
        with (self.path / "metrics.jsonl").open("a+b") as stream:
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)
            stream.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")

    def events(self) -> Iterator[dict[str, Any]]:
        """The lines of `metrics.jsonl`; a last line that is not whole yet is left out.

        Raises `RefusedError` with the number of a line that is no event.
        """
        path = self.path / "metrics.jsonl"
        if path.is_file():
            for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
                if line.endswith(b"\n"):
                    yield _event(line, where=f"{path}, line {number}")


def _event(line: bytes, *, where: str) -> dict[str, Any]:
    try:
        event: Any = parse_json(line)
    except ValueError as error:
        raise RefusedError(f"{where} is not JSON: {error}; train the run again") from error
    if not isinstance(event, dict) or "event" not in event:
        raise RefusedError(f"{where} is no event of a training; train the run again")
    if event["event"] == "epoch":
        validated(_Epoch, event, where=where)
    return event


class _Results(BaseModel):
    """Of `results.json`, what readers take for granted where it is there."""

    quality: dict[str, dict[str, float | None]] = {}
    beyond: dict[str, float | None] = {}
    efficiency: dict[str, Any] = {}
    data: dict[str, Any] = {}
    protocol: dict[str, Any] = {}
    start: dict[str, Any] = {}
    seed: int = 0


class _Epoch(BaseModel):
    """Of an epoch in `metrics.jsonl`, what readers take for granted where it is there."""

    epoch: int = Field(0, ge=0, le=MOST)
    loss: float = 0.0
    seconds: float = 0.0
    valid: dict[str, float] = {}
    best_epoch: int = Field(0, ge=0, le=MOST)
    best_hr10: float = 0.0
    at: float | None = None
