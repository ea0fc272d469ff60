"""Timing of one call: warm-up, several runs, median and spread."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from iisan_core.training.device import describe


def timed(call: Callable[[], object], *, device: torch.device, repeats: int, warmup: int) -> dict[str, float | int]:
    """Seconds per call, the device's work included."""
    for _ in range(warmup):
        call()
    seconds = [_seconds(call, device) for _ in range(repeats)]
    return {"median_s": statistics.median(seconds), "min_s": min(seconds), "max_s": max(seconds), "repeats": repeats}


def machine(device: torch.device) -> dict[str, Any]:
    """Where a figure was measured."""
    return {"device": describe(device), "python": platform.python_version(), "torch": str(torch.__version__)}


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
