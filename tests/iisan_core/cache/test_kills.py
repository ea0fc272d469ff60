"""kill -9 at any moment of an extraction, then the same extraction again: the same bytes as undisturbed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from data_tools.writing import write_dataset
from iisan_core.cache.store import HiddenStateCache

OLD, ALL = 60, 300
"""Items of the catalogue before and after it has grown."""
FILES = ("states.bin", "manifest.json", "item_ids.parquet")

SERVER = """
import os, sys, torch
from pathlib import Path
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.manifest import CacheSettings
from iisan_core.data.dataset import Dataset
from iisan_core.cache.extract import extract
for line in sys.stdin:
    dataset, backbone, folder = line.split()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        given = Dataset.load(dataset), load_backbone(backbone, "text"), CacheSettings(layers="all")
        print(os.getpid(), flush=True)
        for _ in extract(*given, folder=Path(folder), batch_size=4, shard_size=8):
            pass
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Every extraction in a process of its own, without importing everything anew: `<dataset> <backbone> <folder>` a line;
answers with the process when it starts to extract, and with how it ended."""


class Extractions:
    """Runs extractions that may be killed."""

    def __init__(self, server: subprocess.Popen[str], backbone: Path) -> None:
        self._server = server
        self._backbone = backbone

    def run(self, dataset: Path, folder: Path) -> float:
        """An undisturbed extraction; returns its seconds."""
        self._start(dataset, folder)
        start = time.perf_counter()
        assert self._ended() == 0
        return time.perf_counter() - start

    def kill(self, dataset: Path, folder: Path, *, after: float) -> bool:
        """An extraction that is killed after so many seconds; whether it was still at work."""
        process = self._start(dataset, folder)
        time.sleep(after)
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        return self._ended() == -signal.SIGKILL

    def _start(self, dataset: Path, folder: Path) -> int:
        assert self._server.stdin is not None and self._server.stdout is not None
        print(dataset, self._backbone, folder, file=self._server.stdin, flush=True)
        return int(self._server.stdout.readline())

    def _ended(self) -> int:
        assert self._server.stdout is not None
        return os.waitstatus_to_exitcode(int(self._server.stdout.readline()))


@pytest.fixture(scope="module")
def extractions(bert_folder: Path) -> Iterator[Extractions]:
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield Extractions(server, bert_folder)
        server.communicate()


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The catalogue before it has grown, and after; every tenth item then has another title."""
    folder = tmp_path_factory.mktemp("datasets")
    log = pl.DataFrame({"user_id": ["u"], "item_id": ["i0"], "timestamp": [0]})
    for name, size in (("old", OLD), ("grown", ALL)):
        titles = [f"{'red' if name == 'grown' and n % 10 == 0 else 'blue'} mug {'big ' * (n % 7)}" for n in range(size)]
        items = pl.DataFrame({"item_id": [f"i{n}" for n in range(size)], "title": titles, "image": [None] * size})
        items = items.with_columns(pl.col("image").cast(pl.String))
        write_dataset(folder / name, name="tiny", source="made by a test", items=items, interactions=log)
    return folder / "old", folder / "grown"


def only_cache(folder: Path) -> Path:
    (manifest,) = folder.glob("*/manifest.json")
    return manifest.parent


def survives_kills(
    extractions: Extractions, dataset: Path, place: Path, *, kills: int, begin: Callable[[Path], object]
) -> None:
    """`begin` prepares the folder of caches; then `kills` extractions are killed there, each at its own moment."""
    begin(place / "undisturbed")
    duration = extractions.run(dataset, place / "undisturbed")
    expected = {name: (only_cache(place / "undisturbed") / name).read_bytes() for name in FILES}
    moments = random.Random(0)
    for kill in range(kills):
        folder = place / f"killed-{kill}"
        begin(folder)
        after = (kill + moments.random()) / kills * duration
        while not extractions.kill(dataset, folder, after=after):  # it was quicker this time
            after /= 2
            shutil.rmtree(folder)
            begin(folder)
        extractions.run(dataset, folder)
        cache = only_cache(folder)
        assert {name: (cache / name).read_bytes() for name in FILES} == expected
        HiddenStateCache.open(cache).verify()
        shutil.rmtree(folder)


def test_two_kills(extractions: Extractions, datasets: tuple[Path, Path], tmp_path: Path) -> None:
    survives_kills(extractions, datasets[1], tmp_path, kills=2, begin=Path.mkdir)


@pytest.mark.slow
def test_twenty_kills(extractions: Extractions, datasets: tuple[Path, Path], tmp_path: Path) -> None:
    survives_kills(extractions, datasets[1], tmp_path, kills=20, begin=Path.mkdir)


@pytest.mark.slow
def test_twenty_kills_of_an_append(extractions: Extractions, datasets: tuple[Path, Path], tmp_path: Path) -> None:
    extractions.run(datasets[0], tmp_path / "complete")
    complete = tmp_path / "complete"
    survives_kills(extractions, datasets[1], tmp_path, kills=20, begin=lambda folder: shutil.copytree(complete, folder))
