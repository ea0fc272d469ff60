"""How long a call takes, and the least that it could take on this machine."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch

from iisan_core.evaluation.ranking import Products
from iisan_core.training.device import describe

SIDE = {"cpu": 1536, "cuda": 8192}
"""Of the square matrices that are multiplied."""

COPIED = {"cpu": 2**28, "cuda": 2**31}
"""Bytes of the tensor that is copied: far more than any cache holds."""

REPEATS = 5


def machine(device: torch.device) -> dict[str, Any]:
    """Where a figure was measured."""
    return {"device": describe(device), "python": platform.python_version(), "torch": str(torch.__version__)}


def timed(call: Callable[[], object], *, device: torch.device, repeats: int, warmup: int) -> dict[str, float | int]:
    """Seconds per call, median and spread, the device's work included."""
    for _ in range(warmup):
        call()
    seconds = [seconds_of(call, device) for _ in range(repeats)]
    return {"median_s": statistics.median(seconds), "min_s": min(seconds), "max_s": max(seconds), "repeats": repeats}


def seconds_of(call: Callable[[], object], device: torch.device) -> float:
    """Of one call, the device's work included and none that was asked for before."""
    _wait(device)
    start = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reserved(device: torch.device) -> int | None:
    """Bytes that torch has taken from the GPU at most, allocated or not; None on a CPU."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None


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


@cache
def matrix_rate(device: torch.device, precision: str) -> float:
    """Operations per second of large square matrix products, torch's own or `Products`, whichever is quicker."""
    n = SIDE[device.type]
    return product_rate(n, n, n, device=device, precision=precision, ours=True)


def product_rate(
    rows: int, inner: int, columns: int, *, device: torch.device, precision: str, ours: bool = False
) -> float:
    """Operations per second of the best of several matrix products; `precision` is a torch dtype's name.

    With `ours`, `Products` is tried beside torch's own.
    """
    shapes = ((rows, inner), (inner, columns))
    a, b = (torch.randn(shape, device=device).to(getattr(torch, precision)) for shape in shapes)
    ways: list[Callable[[], object]] = [partial(torch.matmul, a, b)]
    if ours:
        ways.append(partial(Products(b), a))
    best = min(timed(way, device=device, repeats=REPEATS, warmup=1)["min_s"] for way in ways)
    return 2 * rows * inner * columns / best


@cache
def bandwidth(device: torch.device) -> float:
    """Bytes read and written per second by the best of several large copies."""
    source = torch.ones(COPIED[device.type] // 4, device=device)
    target = torch.empty_like(source)
    best = timed(lambda: target.copy_(source), device=device, repeats=REPEATS, warmup=1)["min_s"]
    return 2 * source.nbytes / best
