"""Quicker steps by `torch.compile`, for trainings that are long enough to earn back the minute it takes."""

from __future__ import annotations

import os
import shutil
import warnings

import torch

from iisan_core.errors import RefusedError
from iisan_core.model.recommender_model import RecommenderModel

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
