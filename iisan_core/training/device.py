"""The device that computes: which one, what it compiles, and the most memory that was needed on it."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import shutil
import warnings
from contextlib import suppress
from pathlib import Path

import torch
from accelerate import PartialState

from iisan_core.config.schema import Precision, TrainingConfig
from iisan_core.errors import RefusedError
from iisan_core.model.recommender import RecommenderModel

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PEAK, NOW = "VmHWM:", "VmRSS:"
RESET_PEAK = "5"
"""What Linux is told to bring `PEAK` down to `NOW`."""
WIDE = 256
"""Numbers in a hidden state from which products in bfloat16 gain more than the way there costs: a sixth at 384, and at
768 half or more of a step (`iisan bench step`)."""
COMPILER = "g++"
"""What torch asks for on a CPU, unless the environment's `CXX` names another."""


def choose_device(choice: str) -> torch.device:
    """`auto` takes an accelerator where there is one; raises `RefusedError` for a `cuda` that is not there."""
    if choice == "cpu":
        return torch.device("cpu")
    if choice == "cuda" and not torch.cuda.is_available():
        raise RefusedError("device cuda was asked for, but torch sees no CUDA GPU here; choose cpu or auto")
    return PartialState().device


def describe(device: torch.device) -> str:
    """A name for reports: the GPU's own, or the number of CPU threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def precision_of(training: TrainingConfig, *, device: torch.device, widest: int) -> Precision:
    """The arithmetic of a training; one left open is chosen by the device and the widest cached layer, 0 of none.

    Nothing is timed, so that the same machine always chooses alike.
    """
    if training.precision != "auto":
        return training.precision
    return "bfloat16" if widest >= WIDE and _multiplies_bfloat16_faster(device) else "float32"


def _multiplies_bfloat16_faster(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def reset_peak_memory(device: torch.device) -> None:
    """Start measuring `peak_memory` anew: what was needed before, and is no longer, does not count any more."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    gc.collect()
    _give_back()
    with suppress(OSError):  # not Linux, or not allowed: then the peak since the process began is all there is
        CLEAR_REFS.write_text(RESET_PEAK, encoding="ascii")


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that was allocated on the GPU, or the most that this process was resident with, since reset.

    Where the system does not say (no `/proc`), a CPU's is the peak since the process began.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _resident(PEAK) or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_memory() -> int:
    """Bytes that this process is resident with now; 0 where the system does not say."""
    return _resident(NOW)


def _resident(field: str) -> int:
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), 0)


def _give_back() -> None:
    """Return freed memory to the system; else an earlier run's stays with this process, and counts as a later one's."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def check_compiler(device: torch.device) -> None:
    """Raise `RefusedError` if what torch compiles for `device` needs a C++ compiler that is not here."""
    compiler = os.environ.get("CXX", COMPILER)
    if device.type == "cpu" and shutil.which(compiler) is None:
        raise RefusedError(
            f"training.compile needs a C++ compiler, and there is no {compiler} here; install one, name it in the "
            "environment variable CXX, or leave training.compile off"
        )


def compile_items(model: RecommenderModel) -> None:
    """Compile the item encoder in place, for batches of any number of items.

    Calling `model.items` runs what was compiled; `model.items.forward` stays as it was, and evaluation uses that: ranks
    are the same digit for digit however a model was trained.
    """
    # Cached float16 widened to bfloat16, which is as it should be.
    warnings.filterwarnings("ignore", message="bf16 and fp16 are mixed in the scheduler node")
    model.items.compile(dynamic=True)
