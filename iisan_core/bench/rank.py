"""Ranking every user's target among all items."""

from __future__ import annotations

from typing import Any

import torch

from iisan_core.bench.random_work import Size, random_split
from iisan_core.bench.rates import floor
from iisan_core.bench.timing import machine, timed
from iisan_core.ranking import rank_targets
from iisan_core.training.device import choose_device


def bench_rank(
    size: Size, *, embedding: int = 64, device: str = "auto", repeats: int = 10, warmup: int = 1
) -> dict[str, Any]:
    """Median seconds of ranking `size.users` × `size.items` random vectors of width `embedding`."""
    place = choose_device(device)
    split = random_split(size)
    torch.manual_seed(0)
    items = torch.randn(size.items + 1, embedding, device=place)
    users = torch.randn(size.users, embedding, device=place)
    seen = torch.from_numpy(split.history("test")).to(place)
    targets = torch.from_numpy(split.targets("test")).to(place)
    figures = timed(
        lambda: rank_targets(users, items, seen=seen, targets=targets), device=place, repeats=repeats, warmup=warmup
    )
    operations = 2 * size.users * size.items * embedding
    least = floor(figures["median_s"], operations=operations, nbytes=users.nbytes + items.nbytes, device=place)
    return {"bench": "rank", **figures, **least, "embedding": embedding, "size": vars(size), **machine(place)}
