"""Where a model is trained, and in which arithmetic."""

from __future__ import annotations

import resource
from contextlib import AbstractContextManager

import torch
from accelerate import PartialState

from iisan_core.errors import RefusedError


def choose_device(choice: str) -> torch.device:
    """`auto` takes an accelerator where there is one; raises `RefusedError` for a `cuda` that is not there."""
    if choice == "cpu":
        return torch.device("cpu")
    if choice == "cuda" and not torch.cuda.is_available():
        raise RefusedError("device cuda was asked for, but torch sees no CUDA GPU here; choose cpu or auto")
    return PartialState().device


def arithmetic(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """A context in which matrix products run in `precision`; weights keep theirs."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def describe(device: torch.device) -> str:
    """A name for reports: the GPU's own, or the number of CPU threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def reset_peak_memory(device: torch.device) -> None:
    """Start measuring `peak_memory` anew, where the device can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that was allocated on the GPU, or the most that this process was resident with."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
