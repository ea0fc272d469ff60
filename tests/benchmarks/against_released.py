"""`python -m tests.benchmarks.against_released`: the released programs' form and ours on the same work, in one run.

Scientific-sized: 20,314 items, BERT-base and ViT-base states of 13 layers of which seven are used, r = E = 64,
stacked heads on both sides. Prints JSON: seconds of both forms, their ratio, and what the machine's matrix products
reach, without which the seconds say little.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from iisan_core.bench.random_work import Size, random_bank, random_split
from iisan_core.bench.rates import matrix_rate
from iisan_core.bench.timing import machine
from iisan_core.config import ModelConfig, TrainingConfig
from iisan_core.model.recommender_model import RecommenderModel
from iisan_core.sequences import Split
from iisan_core.training.batches import make_batch
from iisan_core.training.evaluation import ranks_of
from iisan_core.training.fit import Stepper
from tests.benchmarks.released_evaluation import evaluate
from tests.benchmarks.released_items import TrainingSequences, write_item
from tests.benchmarks.released_model import ReleasedModel

ALL_LAYERS, KEPT = 13, [0, 2, 4, 6, 8, 10, 12]
CPU = torch.device("cpu")


def steps(size: Size, split: Split, *, batch_size: int, repeats: int) -> dict[str, Any]:
    """Seconds of one training step on the same users, files and gathering included."""
    torch.manual_seed(0)
    model = RecommenderModel(size.shape(ModelConfig(head="stacked"))).train()
    rows = [split.train[n * batch_size : (n + 1) * batch_size] for n in range(repeats + 1)]
    found: dict[str, Any] = {"batch_size": batch_size, "repeats": repeats}
    found["released"] = _released_steps(model, size, np.concatenate(rows), split, batch_size=batch_size)
    bank = random_bank(size)
    for precision in ("float32", "bfloat16"):
        training = TrainingConfig(batch_size=batch_size, precision=precision, device="cpu")
        stepper = Stepper(model, bank, split, training)
        found[precision] = _seconds([partial(_step, stepper, r) for r in rows])
        found[f"ratio_{precision}"] = found["released"]["median_s"] / found[precision]["median_s"]
    return found


def _step(stepper: Stepper, sequences: np.ndarray) -> None:
    stepper.step(make_batch(sequences))


def _released_steps(
    model: RecommenderModel, size: Size, rows: np.ndarray, split: Split, *, batch_size: int
) -> dict[str, float]:
    released = ReleasedModel(model, layers=KEPT).train()
    optimizer = torch.optim.Adam(released.parameters(), lr=1e-4)
    log_q = torch.from_numpy(split.popularity()).log().float()
    with TemporaryDirectory() as folder:
        for item in np.unique(rows[rows > 0]).tolist():
            states = {name: torch.randn(ALL_LAYERS, size.text_width) for name in ("image", "text")}
            write_item(Path(folder), item, states)
        users = TrainingSequences(rows, Path(folder), shape=(ALL_LAYERS, size.text_width))
        batches = iter(DataLoader(users, batch_size=batch_size))

        def step() -> None:
            loss = released(*next(batches), log_q)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return _seconds([step] * (len(rows) // batch_size))


def ranking(size: Size, split: Split, *, share: float, repeats: int) -> dict[str, Any]:
    """Seconds of ranking all users; the slow form ranks a share of them and its time is scaled up, and said so."""
    torch.manual_seed(0)
    model = RecommenderModel(size.shape(ModelConfig())).eval()
    table = torch.randn(size.items + 1, 64)
    table[0] = 0
    history, targets = split.history("test"), split.targets("test")
    some = max(1, round(share * size.users))
    slow = _seconds(
        [lambda: evaluate(model.users, table, history[:some], targets[:some], inputs=size.inputs, batch_size=256)] * 2
    )
    ours = _seconds([lambda: ranks_of(model, table, split, "test")] * (repeats + 1))
    scaled = slow["median_s"] * size.users / some
    return {"users_of_slow_form": some, "released_s": scaled, "ours": ours, "ratio": scaled / ours["median_s"]}


def _seconds(calls: list[Callable[[], object]]) -> dict[str, float]:
    """The first call warms up."""
    times = []
    for call in calls:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    timed = times[1:]
    return {"median_s": statistics.median(timed), "min_s": min(timed), "max_s": max(timed)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, nargs="*", default=[64, 512])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ranking-share", type=float, default=1.0, help="of the users that the slow form ranks")
    parser.add_argument("--users", type=int, default=Size.users)
    parser.add_argument("--items", type=int, default=Size.items)
    asked = parser.parse_args()
    size = Size(users=asked.users, items=asked.items)
    split = random_split(size)
    found = {
        "matrix_operations_per_s": {p: matrix_rate(CPU, p) for p in ("float32", "bfloat16")},
        "steps": [steps(size, split, batch_size=b, repeats=asked.repeats) for b in asked.batch_size],
        "ranking": ranking(size, split, share=asked.ranking_share, repeats=asked.repeats),
        "size": vars(size),
        **machine(CPU),
    }
    json.dump(found, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
