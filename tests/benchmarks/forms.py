"""Seconds of the released programs' form and of ours on the same work: a training step, and a ranking.

Stacked heads and ReLU on both sides, as the released programs have them, so that the losses are the same. Ours also
with the head that it has by default, one linear, which is the same class of functions; then with `training.compile`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from app.bench.random_work import Size, random_bank, random_split
from iisan_core.config.schema import ModelConfig, TrainingConfig
from iisan_core.data.split import Split
from iisan_core.evaluation.ranks import ranks_of
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.batches import make_batch
from iisan_core.training.step import Stepper
from tests.benchmarks.released_evaluation import evaluate
from tests.benchmarks.released_figures import RANKING, STEPS, Figure
from tests.benchmarks.released_items import MODALITIES, TrainingSequences, write_item
from tests.benchmarks.released_model import ReleasedModel
from tests.benchmarks.released_users import ReleasedUsers

ALL_LAYERS, KEPT = 13, [0, 2, 4, 6, 8, 10, 12]
CONFIG = ModelConfig(head="stacked", activation="relu")
BY_DEFAULT = "bfloat16, linear"
COMPILED = "bfloat16, linear, compiled"
EVALUATION_BATCH = 256
Seconds = dict[str, float]


def compare_steps(size: Size, *, batch_size: int, repeats: int, compiled: bool = True) -> dict[str, Any]:
    """One training step on the same users, the gathering of states included."""
    torch.manual_seed(0)
    split = random_split(size)
    model = RecommenderModel(size.shape(CONFIG)).train()
    rows = [split.windows.take(np.arange(n * batch_size, (n + 1) * batch_size)) for n in range(repeats + 1)]
    slow = _released_steps(ReleasedModel(model, layers=KEPT), size, rows, split)
    bank, ours = random_bank(size), {}
    linear = RecommenderModel(size.shape(ModelConfig(activation="relu"))).train()
    forms = {"float32": model, "bfloat16": model, BY_DEFAULT: linear} | ({COMPILED: linear} if compiled else {})
    for name, form in forms.items():
        training = TrainingConfig(
            batch_size=batch_size, precision=name.split(",")[0], compile=name == COMPILED, device="cpu"
        )
        stepper = Stepper(form, bank, split, training)
        steps = [partial(_step, stepper, r) for r in rows]
        ours[name] = _seconds(steps * 2, warmup=len(steps))  # shapes recur in a training, so they are met before
    figure = STEPS.get(batch_size) if size == Size() else None
    return {"work": f"training step, batch {batch_size}", "repeats": repeats, **_held(slow, ours, figure)}


def compare_ranking(size: Size, *, repeats: int) -> dict[str, Any]:
    """All users, all items; item vectors are there already. Ours in float32 only: the protocol wants scores so."""
    torch.manual_seed(0)
    split = random_split(size)
    model = RecommenderModel(size.shape(CONFIG)).eval()
    table = torch.randn(size.items + 1, CONFIG.embedding)
    table[0] = 0
    users = ReleasedUsers(model.users).eval()
    history, targets = split.history("test").newest(size.max_history + 2), split.targets("test")

    def rank(some: int) -> None:
        evaluate(users, table, history[:some], targets[:some], inputs=size.max_history, batch_size=EVALUATION_BATCH)

    slow = _seconds([partial(rank, EVALUATION_BATCH), partial(rank, size.users)])
    ours = {"float32": _seconds([partial(ranks_of, model, table, split, "test")] * (repeats + 1))}
    return {"work": "ranking", "repeats": repeats, **_held(slow, ours, RANKING if size == Size() else None)}


def _step(stepper: Stepper, sequences: np.ndarray) -> None:
    stepper.step(make_batch(sequences))


def _released_steps(model: ReleasedModel, size: Size, rows: list[np.ndarray], split: Split) -> Seconds:
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    log_q = torch.from_numpy(split.popularity()).log().float()
    everybody = np.concatenate(rows)
    with TemporaryDirectory() as folder:
        for item in np.unique(everybody[everybody > 0]).tolist():
            write_item(Path(folder), item, {name: torch.randn(ALL_LAYERS, size.text_width) for name in MODALITIES})
        batches = iter(DataLoader(TrainingSequences(everybody, Path(folder)), batch_size=len(rows[0])))

        def step() -> None:
            batch = next(batches)
            optimizer.zero_grad()
            model(*batch, log_q).backward()
            optimizer.step()

        return _seconds([step] * len(rows))


def _held(slow: Seconds, ours: dict[str, Seconds], figure: Figure | None) -> dict[str, Any]:
    """Both forms side by side, and the slow one beside the released programs' own figure where there is one."""
    theirs = slow["median_s"]
    return {
        "slow_form": slow,
        "released_s": [figure.fastest, figure.slowest] if figure else None,
        "bounds_s": list(figure.bounds) if figure else None,
        "place": figure.place(theirs) if figure else None,
        "ours": ours,
        "ratio": {precision: theirs / found["median_s"] for precision, found in ours.items()},
    }


def _seconds(calls: Sequence[Callable[[], object]], *, warmup: int = 1) -> Seconds:
    """Of all calls but the first `warmup`."""
    times = []
    for call in calls:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    timed = times[warmup:]
    return {"median_s": statistics.median(timed), "min_s": min(timed), "max_s": max(timed)}
