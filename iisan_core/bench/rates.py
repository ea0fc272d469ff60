"""What this machine can do at best, and how near to it some work comes."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from iisan_core.bench.timing import timed
from iisan_core.products import Products

SIDE = {"cpu": 1536, "cuda": 8192}
"""Of the square matrices that are multiplied."""
COPIED = {"cpu": 2**28, "cuda": 2**31}
"""Bytes of the tensor that is copied: far more than any cache holds."""
REPEATS = 5


@cache
def matrix_rate(device: torch.device, precision: str) -> float:
    """Operations per second of the best of several large matrix products; `float32` or `bfloat16`.

    In float32 torch's own and `Products` are tried, and the quicker one counts.
    """
    n = SIDE[device.type]
    a, b = (torch.randn(n, n, device=device).to(getattr(torch, precision)) for _ in range(2))
    products = Products(b)
    ways = [lambda: a @ b, lambda: products(a)]
    return 2 * n**3 / min(timed(way, device=device, repeats=REPEATS, warmup=1)["min_s"] for way in ways)


@cache
def bandwidth(device: torch.device) -> float:
    """Bytes read and written per second by the best of several large copies."""
    source = torch.ones(COPIED[device.type] // 4, device=device)
    target = torch.empty_like(source)
    best = timed(lambda: target.copy_(source), device=device, repeats=REPEATS, warmup=1)["min_s"]
    return 2 * source.nbytes / best


def floor(
    seconds: float, *, operations: float, nbytes: float, device: torch.device, precision: str = "float32"
) -> dict[str, Any]:
    """The least that work of so many operations and moved bytes can take here, and the share that was reached.

    Operations and moves overlap at best, so the floor is the longer of both.
    """
    rate, speed = matrix_rate(device, precision), bandwidth(device)
    least = max(operations / rate, nbytes / speed)
    return {
        "operations": operations,
        "bytes_moved": nbytes,
        "matrix_operations_per_s": rate,
        "bandwidth_bytes_per_s": speed,
        "floor_s": least,
        "fraction_reached": least / seconds,
    }
