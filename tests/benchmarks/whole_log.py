"""`python -m tests.benchmarks.whole_log`: a log of many users, made at random and trained on whole by ids alone.

Writes a dataset folder of 1, 1/4 and 1/16 of the size, trains a run on each for one epoch in a process of its own, with
validation at its end, and fits exponents of time and memory over interactions. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import torch

from app.bench.measure import machine
from data_tools.writing import write_dataset
from iisan_core.config.schema import RunConfig
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.device import choose_device, peak_memory
from iisan_core.training.events import EpochEnded
from iisan_core.training.fit import fit, validation_split
from iisan_core.training.inputs import RunInputs
from tests.benchmarks.epoch import print_figures
from tests.benchmarks.scaling import fitted_exponent

SHARES = (1 / 16, 1 / 4, 1)

SHORTEST = 3
"""Interactions of a user; further ones are drawn by a geometric distribution, so that the mean is as asked."""


@dataclass(frozen=True)
class Log:
    """How large a log is."""

    users: int
    items: int
    interactions: int

    def times(self, share: float) -> Log:
        """The same log smaller, its users as long."""
        return Log(*(max(1, int(count * share)) for count in (self.users, self.items, self.interactions)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--interactions", type=int, default=10_000_000)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--of", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.of is not None:
        sys.stdout.write(json.dumps(one_epoch(asked.of, batch_size=asked.batch_size)) + "\n")
        return
    print_figures(bench_whole_log(Log(asked.users, asked.items, asked.interactions), batch_size=asked.batch_size))


def bench_whole_log(size: Log, *, batch_size: int, shares: Sequence[float] = SHARES) -> dict[str, Any]:
    """One epoch on each share of a log, and the exponents that seconds and memory grow by."""
    found = []
    with TemporaryDirectory() as folder:
        for number, share in enumerate(shares):
            data = write_log(Path(folder) / str(number) / "data", size.times(share))
            command = [sys.executable, "-m", "tests.benchmarks.whole_log", "--of", str(data)]
            command += ["--batch-size", str(batch_size)]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            found.append(json.loads(answer.splitlines()[-1]))
    interactions = [one["training_interactions"] for one in found]
    exponents = {
        key: fitted_exponent(interactions, [one[key] for one in found])
        for key in ("epoch_s", "whole_s", "peak_memory_bytes")
    }
    return {
        "bench": "whole log",
        "size": asdict(size),
        "batch_size": batch_size,
        "runs": found,
        "exponents": exponents,
        **machine(choose_device("cpu")),
    }


def write_log(folder: Path, size: Log) -> Path:
    """A dataset folder without texts or pictures: skewed popularity, users of unequal length."""
    rng = np.random.default_rng(0)
    further = size.interactions / size.users - SHORTEST
    lengths = SHORTEST + rng.geometric(1 / (1 + further), size=size.users) - 1
    weights = np.arange(1, size.items + 1) ** -0.6
    numbers = rng.choice(size.items, size=int(lengths.sum()), p=weights / weights.sum())
    ids = pl.Series("item_id", np.arange(size.items)).cast(pl.String)
    log = pl.DataFrame(
        {
            "user_id": pl.Series(np.repeat(np.arange(size.users), lengths)).cast(pl.String),
            "item_id": ids.gather(numbers),
            "timestamp": np.arange(len(numbers)),
        }
    )
    items = pl.DataFrame({"item_id": ids, "title": ids, "image": pl.Series([None] * size.items, dtype=pl.String)})
    write_dataset(folder, name="random", source="made for a benchmark", items=items, interactions=log)
    return folder


def one_epoch(data: Path, *, batch_size: int) -> dict[str, Any]:
    """An epoch of ids on a dataset folder, with its validation: seconds of the parts, and the process's peak."""
    training = {"epochs": 1, "batch_size": batch_size, "learning_rate": 1e-3, "device": "cpu"}
    config = RunConfig.model_validate({"dataset": data, "model": {"ids": True}, "training": training})
    started = time.perf_counter()
    inputs = RunInputs.open(config)
    opened = time.perf_counter()
    states = inputs.states()
    model = RecommenderModel(inputs.shape(config, states))
    epoch = next(e for e in fit(model, states, inputs.split, config.training) if isinstance(e, EpochEnded))
    ended = time.perf_counter()
    facts = inputs.split.describe()
    return {
        **{key: facts[key] for key in ("users", "items", "training_interactions", "training_users")},
        "validated_users": len(validation_split(inputs.split, config.training).measured["valid"]),
        "open_s": opened - started,
        "epoch_s": epoch.seconds,
        "validation_s": ended - opened - epoch.seconds,
        "whole_s": ended - started,
        "peak_memory_bytes": peak_memory(torch.device("cpu")),
    }


if __name__ == "__main__":
    main()
