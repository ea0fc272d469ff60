"""How much memory work takes, on a GPU or in the process."""

from __future__ import annotations

import resource
from pathlib import Path

import psutil
import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PEAK = "VmHWM:"
"""Line of `status` with the most that this program was resident with, in kB; unlike the kernel's other count it
starts anew with every program, whatever its parent held."""


def reset_peak(device: torch.device) -> None:
    """Start measuring `peak` anew, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR.exists():
        CLEAR.write_text("5", encoding="ascii")


def resident() -> int:
    """Bytes that this process is resident with."""
    return int(psutil.Process().memory_info().rss)


def peak(device: torch.device) -> int:
    """Bytes: the most that was allocated on the GPU, or the most that this process was resident with."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(PEAK))


def reserved(device: torch.device) -> int | None:
    """Bytes that torch has taken from the GPU at most, allocated or not; None on a CPU."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None
