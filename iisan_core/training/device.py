"""Where a model is trained, and in which arithmetic.

Quicker steps by `torch.compile`, for trainings that are long enough to earn back the minute it takes.
"""

from __future__ import annotations

import os
import resource
import shutil
import warnings

import torch
from accelerate import PartialState

from iisan_core.errors import RefusedError
from iisan_core.model.recommender import RecommenderModel

COMPILER = "g++"
"""What torch asks for on a CPU, unless the environment's `CXX` names another."""


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


def reset_peak_memory(device: torch.device) -> None:
    """Start measuring `peak_memory` anew, where the device can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that was allocated on the GPU, or the most that this process was resident with."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
