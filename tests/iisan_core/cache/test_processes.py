"""Extraction by several processes under torchrun: the cache of one, whoever is lost on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from app.jobs.queue import DeviceQueue
from data_tools.writing import write_dataset
from iisan_core.backbones.base import Backbone
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings
from iisan_core.cache.store import HiddenStateCache
from iisan_core.cache.writer import one_of_several, only_one
from iisan_core.computing.processes import ProcessGroup
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError

ITEMS, SHARD = 60, 8
FILES = ("states.bin", "manifest.json", "item_ids.parquet")

WORKER = """
import json, os, signal, sys, torch
from pathlib import Path
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.manifest import CacheSettings
from iisan_core.data.dataset import Dataset
from iisan_core.computing.processes import ProcessGroup
from iisan_core.cache.extract import extract
torch.set_num_threads(1)
dataset, backbone, folder, lost, after = sys.argv[1:]
processes = ProcessGroup.here()
given = Dataset.load(dataset), load_backbone(backbone, "text"), CacheSettings(layers="all")
own = 0
for last in extract(*given, folder=Path(folder), batch_size=4, shard_size=8, processes=processes):
    own += 1
    if processes.rank == int(lost) and own == int(after):
        os.kill(os.getpid(), signal.SIGKILL)
if processes.leads:
    print(json.dumps({"cache": str(last.folder), "computed": last.computed, "done": last.done}))
"""

Torchrun = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    titles = [None if n % 9 == 4 else f"red mug {'big ' * (n % 7)}" for n in range(ITEMS)]
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(ITEMS)], "title": titles, "image": [None] * ITEMS})
    write_dataset(
        tmp_path / "dataset", name="tiny", source="made by a test",
        items=items.with_columns(pl.col("image").cast(pl.String)),
        interactions=pl.DataFrame({"user_id": ["u"], "item_id": ["i0"], "timestamp": [0]}),
    )  # fmt: skip
    return tmp_path / "dataset"


@pytest.fixture
def extracting(dataset: Path, bert_folder: Path, tmp_path: Path) -> Torchrun:
    """Extract with so many processes into a folder; process `lost` is killed after its batch `after`."""
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER)

    def run(folder: Path, *, processes: int, lost: int = -1, after: int = 0) -> subprocess.CompletedProcess[str]:
        arguments = [str(a) for a in (worker, dataset, bert_folder, folder, lost, after)]
        return torchrun(["--nproc-per-node", str(processes), *arguments])

    return run


@pytest.fixture
def alone(dataset: Path, bert: Backbone, tmp_path: Path) -> Path:
    """The cache that one process makes."""
    settings = CacheSettings(layers="all")
    records = extract(Dataset.load(dataset), bert, settings, folder=tmp_path / "alone", batch_size=4, shard_size=SHARD)
    return list(records)[-1].folder


def torchrun(arguments: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", *arguments]
    variables = {"OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, timeout=300)


def facts(ended: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert ended.returncode == 0, ended.stderr
    (line,) = (line for line in ended.stdout.splitlines() if line.startswith("{"))
    found: dict[str, object] = json.loads(line)
    return found


def contents(cache: object) -> dict[str, bytes]:
    HiddenStateCache.open(str(cache)).verify()
    return {name: (Path(str(cache)) / name).read_bytes() for name in FILES}


@pytest.mark.long
@pytest.mark.network
def test_two_processes_make_the_cache_of_one(extracting: Torchrun, alone: Path, tmp_path: Path) -> None:
    both = facts(extracting(tmp_path / "both", processes=2))
    assert (both["computed"], both["done"]) == (ITEMS, ITEMS)
    assert contents(both["cache"]) == contents(alone)


@pytest.mark.long
@pytest.mark.network
def test_a_lost_process_costs_its_unfinished_part_only(extracting: Torchrun, alone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lost"
    after = 2 * SHARD // 4 + 1  # batches of 4: two whole shards and the first batch of the third
    ended = extracting(folder, processes=2, lost=1, after=after)
    assert ended.returncode != 0
    (cache,) = folder.glob("text-*")
    finished = {int(path.stem) for path in (cache / "parts").glob("*.json")}
    assert {1, 3} <= finished
    again = facts(extracting(folder, processes=3))  # with another number of processes
    left = sum(min(SHARD, ITEMS - shard * SHARD) for shard in range(-(-ITEMS // SHARD)) if shard not in finished)
    assert again["computed"] == left
    assert contents(again["cache"]) == contents(alone)


@pytest.mark.long
@pytest.mark.network
def test_the_shell_under_torchrun_speaks_once_and_takes_one_turn(
    dataset: Path, bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["--nproc-per-node", "2", "--no-python", str(Path(sys.executable).with_name("iisan"))]
    options = ["extract", str(dataset), "--text", str(bert_folder), "--device", "cpu", "--json"]
    ended = torchrun([*command, *options], IISAN_WORKSPACE=str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    (fact,) = json.loads(ended.stdout)
    assert fact["items"] == ITEMS
    assert ended.stderr.count("text cache") == 1
    assert "queued behind" not in ended.stderr, "they share the processor"
    HiddenStateCache.open(fact["cache"]).verify()
    monkeypatch.setenv("IISAN_WORKSPACE", str(tmp_path))
    with DeviceQueue("cpu").ticket("mine"):
        refused = torchrun([*command, *options, "--no-wait"])
    assert refused.returncode != 0
    assert refused.stderr.count("device cpu is taken by mine") == 1


def test_shares_are_disjoint_and_complete() -> None:
    shards = [0, 2, 3, 5, 9]
    shares = [ProcessGroup(rank, 3).share(shards) for rank in range(3)]
    assert sorted(shard for share in shares for shard in share) == shards
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_straggler_keeps_the_next_extraction_out(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    broke_off = pytest.raises(RefusedError, match="that broke off still writes to")
    with one_of_several(cache, 1), broke_off, only_one(cache):
        pass
    with only_one(cache), one_of_several(cache, 1), one_of_several(cache, 2):
        pass
