"""A log of ten million interactions: under two minutes and 4 GB on two cores."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from data_tools.statistics import statistics
from iisan_core.data.dataset import Dataset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

INTERACTIONS, USERS, ITEMS = 10_000_000, 700_000, 200_000
SECONDS, BYTES = 120, 4 * 2**30
PROGRAM = """
import json, resource, sys, time
from pathlib import Path
from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportRequest

items, log, out = map(Path, sys.argv[1:])
started = time.perf_counter()
IMPORTERS["table"](ImportRequest(items=items, interactions=log, out=out))
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A catalogue, and a log that is in no order, some items much more popular than others."""
    folder, rng = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    ids = [f"B{number:09}" for number in range(ITEMS)]
    pl.DataFrame({"item_id": ids, "title": [f"Item number {number}" for number in range(ITEMS)]}).write_csv(
        folder / "items.csv"
    )
    log = pl.DataFrame(
        {
            "user_id": rng.integers(0, USERS, INTERACTIONS),
            "item_id": (ITEMS * rng.random(INTERACTIONS) ** 3).astype(np.int64),
            "timestamp": rng.integers(1_400_000_000, 1_700_000_000, INTERACTIONS),
        }
    )
    user, item = pl.format("A{}", pl.col("user_id")), pl.format("B{}", pl.col("item_id").cast(str).str.zfill(9))
    log.select(user_id=user, item_id=item, timestamp="timestamp").write_csv(folder / "log.csv")
    return folder / "items.csv", folder / "log.csv"


def test_ten_million_interactions(source: tuple[Path, Path], tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, *map(str, source), str(tmp_path / "out")]
    two_cores = os.environ | {"POLARS_MAX_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, env=two_cores, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    print(found)  # noqa: T201
    assert found["seconds"] < SECONDS
    assert found["bytes"] < BYTES
    _check_counts(source[1], Dataset.load(tmp_path / "out"))


def _check_counts(log: Path, dataset: Dataset) -> None:
    """Statistics against counts in plain Python, and the sequences of some users against the lines of the file."""
    lengths: Counter[str] = Counter()
    items: set[str] = set()
    sample = defaultdict(list)
    with log.open() as lines:
        next(lines)
        for line in lines:
            user, item, time = line.rstrip().split(",")
            lengths[user] += 1
            items.add(item)
            if user.endswith("777"):
                sample[user].append((int(time), item))
    counts = statistics(dataset).as_dict()
    assert counts["users"] == len(lengths)
    assert counts["interactions"] == sum(lengths.values()) == INTERACTIONS
    assert counts["items_with_interactions"] == len(items)
    assert (counts["length_min"], counts["length_max"]) == (min(lengths.values()), max(lengths.values()))
    assert counts["kept_users"] == sum(length >= 5 for length in lengths.values())
    imported = dataset.interactions.filter(pl.col("user_id").str.ends_with("777"))
    sequences = defaultdict(list)
    for user, item, time in imported.select("user_id", "item_id", "timestamp").iter_rows():
        sequences[user].append((time, item))
    in_time = {user: sorted(taken, key=lambda one: one[0]) for user, taken in sample.items()}
    assert sequences == in_time, "ties keep the order of the file"
    assert len(in_time) > 500
