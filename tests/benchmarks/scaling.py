"""`python -m tests.benchmarks.scaling`: does cost grow linearly?

Times epochs at 1, 4 and 16 times the users and ranking at 1, 4 and 16 times the items; fits the exponents. Prints JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.bench.measure import machine
from app.bench.random_work import Size
from app.bench.serving import bench_rank
from iisan_core.config.schema import ModelConfig, TrainingConfig
from iisan_core.training.device import choose_device
from tests.benchmarks.epoch import bench_epoch, parser_of_training, print_figures, training_asked

GROWTH = (1, 4, 16)


def main(arguments: Sequence[str] | None = None) -> None:
    asked = parser_of_training(__doc__, batch_size=512, precision="bfloat16", repeats=1).parse_args(arguments)
    size = Size(items=asked.items, users=asked.users)
    print_figures(bench_scaling(size, ModelConfig(), training_asked(asked), repeats=asked.repeats))


def bench_scaling(
    size: Size, model: ModelConfig, training: TrainingConfig, *, growth: Sequence[int] = GROWTH, repeats: int = 1
) -> dict[str, Any]:
    """Seconds per epoch as users grow and of ranking as items grow, times `growth`; the exponents that they fit.

    An exponent of 1 is a cost in proportion to the work.
    """
    epochs = [bench_epoch(_grown(size, users=g), model, training, repeats=repeats) for g in growth]
    ranks = [
        bench_rank(_grown(size, items=g), embedding=model.embedding, device=training.device, repeats=repeats)
        for g in growth
    ]
    interactions = [found["interactions"] for found in epochs]
    items = [found["size"]["items"] for found in ranks]
    return {
        "bench": "scaling",
        "epoch": _law(interactions, [found["median_s"] for found in epochs], of="interactions"),
        "rank": _law(items, [found["median_s"] for found in ranks], of="items"),
        "batch_size": training.batch_size,
        "precision": training.precision,
        "size": vars(size),
        **machine(choose_device(training.device)),
    }


def fitted_exponent(amounts: Sequence[float], seconds: Sequence[float]) -> float:
    """`b` of `seconds = a · amount^b`, by least squares of the logarithms."""
    return float(np.polyfit(np.log(amounts), np.log(seconds), 1)[0])


def _law(amounts: Sequence[int], seconds: Sequence[float], *, of: str) -> dict[str, Any]:
    return {of: list(amounts), "median_s": list(seconds), "exponent": fitted_exponent(amounts, seconds)}


def _grown(size: Size, *, users: int = 1, items: int = 1) -> Size:
    return Size(**{**vars(size), "users": size.users * users, "items": size.items * items})


if __name__ == "__main__":
    main()
