"""`machine.jsonl` in a job's folder: what the job took of the machine while it went on.

A sample a second at first, then ever rarer, so that a job of days has some two thousand and one of a minute sixty.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from app.jobs.devices import gpus
from iisan_core.files import parse_json
from iisan_core.runs.job_folder import JobFolder
from iisan_core.runs.worker import beside

FILE = "machine.jsonl"
AT_FIRST = 1.0
"""Seconds between the first samples."""
SHARE = 1 / 200
"""Later ones are as far apart as this share of the time since the beginning."""


@contextmanager
def recorded(folder: JobFolder) -> Iterator[None]:
    """Within the block a thread notes now and then what this process and its children take."""
    with beside(lambda ended: _record(folder, ended), name="machine log"):
        yield


def _record(folder: JobFolder, ended: threading.Event) -> None:
    begun = time.monotonic()
    meter = _Meter()
    while not ended.wait(max(AT_FIRST, SHARE * (time.monotonic() - begun))):
        with suppress(OSError, psutil.Error):  # a full disk, a child that has just ended: the work goes on
            line = json.dumps(meter.sample()) + "\n"
            with (folder.path / FILE).open("a", encoding="utf-8") as stream:
                stream.write(line)


class _Meter:
    """What this process and its children take; loads are about the time since the sample before."""

    def __init__(self) -> None:
        self._processes: dict[int, psutil.Process] = {}
        psutil.cpu_percent()
        self._load()

    def sample(self) -> dict[str, Any]:
        """Of one moment: seconds since 1970, bytes, per cent (of one core, of the machine, of a GPU)."""
        load, memory = self._load()
        cards = gpus()
        found: dict[str, Any] = {
            "at": round(time.time(), 1),
            "load": round(load, 1),
            "machine_load": psutil.cpu_percent(),
            "memory_bytes": memory,
        }
        if cards:
            found["gpu_load"] = max(card.load_percent for card in cards)
            found["gpu_bytes"] = sum(card.used_bytes for card in cards)
        return found

    def _load(self) -> tuple[float, int]:
        own = psutil.Process()
        now = {process.pid: process for process in [own, *own.children(recursive=True)]}
        self._processes = {pid: self._processes.get(pid, process) for pid, process in now.items()}
        load, memory = 0.0, 0
        for process in self._processes.values():
            with suppress(psutil.NoSuchProcess):
                load += process.cpu_percent()
                memory += process.memory_info().rss
        return load, memory


def samples(folder: JobFolder) -> list[dict[str, Any]]:
    """What was noted, oldest first; lines that are not whole are left out, and so is all where there is no file."""
    path = folder.path / FILE
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            sample = parse_json(line)
            if isinstance(sample, dict) and isinstance(sample.get("at"), int | float):
                found.append(sample)
    return found
