"""kill -9 at any moment while recommendations are written, then the same again: the same bytes as undisturbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from iisan_core.runs.run_folder import RunFolder

SERVER = """
import os, sys, torch
from pathlib import Path
from iisan_core.serving import bulk_files
from iisan_core.serving.bulk import BulkRequest
from iisan_core.serving.recommender import Recommender
bulk_files.MOST_USERS = bulk_files.LEAST_USERS = 2
for line in sys.stdin:
    run, out = line.split()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        recommender = Recommender.load(run)
        print(os.getpid(), flush=True)
        for _ in recommender.write_recommendations(BulkRequest(k=30, parts=True), Path(out)):
            pass
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Every command in a process of its own, without importing everything anew: `<run> <file>` a line; answers with the
process when it starts to recommend, and with how it ended."""


class Writers:
    """Runs commands that may be killed."""

    def __init__(self, server: subprocess.Popen[str], run: Path) -> None:
        self._server = server
        self._run = run

    def write(self, out: Path) -> float:
        """Undisturbed; returns its seconds."""
        self._start(out)
        start = time.perf_counter()
        assert self._ended() == 0
        return time.perf_counter() - start

    def kill(self, out: Path, *, after: float) -> bool:
        """Killed after so many seconds; whether it was still at work."""
        process = self._start(out)
        time.sleep(after)
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        return self._ended() == -signal.SIGKILL

    def _start(self, out: Path) -> int:
        assert self._server.stdin is not None and self._server.stdout is not None
        print(self._run, out, file=self._server.stdin, flush=True)
        return int(self._server.stdout.readline())

    def _ended(self) -> int:
        assert self._server.stdout is not None
        return os.waitstatus_to_exitcode(int(self._server.stdout.readline()))


@pytest.fixture(scope="module")
def writers(finished: RunFolder) -> Iterator[Writers]:
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield Writers(server, finished.path)
        server.communicate()


def killed_at_work(writers: Writers, out: Path, *, after: float) -> bool:
    """Killed after so many seconds, or sooner where it was quicker than the one that was measured."""
    for _ in range(8):
        if writers.kill(out, after=after):
            return True
        out.unlink()
        after /= 2
    return False


def survives_kills(writers: Writers, place: Path, *, ending: str, kills: int) -> None:
    """`kills` commands are killed, each at its own moment, and begun again; some are killed twice."""
    whole = place / f"whole.{ending}"
    writers.write(place / f"first.{ending}")  # of which some is only done once
    duration = writers.write(whole)
    moments = random.Random(0)
    for kill in range(kills):
        out = place / f"{kill}.{ending}"
        after = (kill + moments.random()) / kills * duration
        assert killed_at_work(writers, out, after=after)
        if kill % 3 == 0:
            writers.kill(out, after=moments.random() * duration)
        writers.write(out)
        assert out.read_bytes() == whole.read_bytes()
        assert not list(place.glob(f".{kill}.*")), "nothing is left beside it"


@pytest.mark.long
@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_six_kills(writers: Writers, tmp_path: Path, ending: str) -> None:
    survives_kills(writers, tmp_path, ending=ending, kills=6)


@pytest.mark.slow
def test_a_hundred_kills(writers: Writers, tmp_path: Path) -> None:
    survives_kills(writers, tmp_path, ending="parquet", kills=100)
