"""What there is to compute on, asked without torch and without CUDA: the app and waiting jobs stay light."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pynvml


@dataclass(frozen=True)
class Gpu:
    """A GPU as the driver sees it."""

    index: int
    name: str
    total_bytes: int
    used_bytes: int
    load_percent: int


def gpus() -> list[Gpu]:
    """The NVIDIA GPUs of this machine; none where there is no driver."""
    with _driver() as there:
        return [_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())] if there else []


def device_key(choice: str) -> str:
    """The device that `auto`, `cpu` or `cuda` means here: `cpu`, or `cuda:` and the number or id of the GPU.

    Follows CUDA_VISIBLE_DEVICES and, under torchrun, LOCAL_RANK, so that every GPU has one name for all processes.
    """
    if choice == "cpu" or (choice == "auto" and not _visible()):
        return "cpu"
    if not choice.startswith("cuda") and choice != "auto":
        return choice
    number = int(choice.partition(":")[2] or os.environ.get("LOCAL_RANK", "0"))
    visible = _visible()
    return f"cuda:{visible[number]}" if number < len(visible) else f"cuda:{number}"


def _visible() -> list[str]:
    limited = os.environ.get("CUDA_VISIBLE_DEVICES")
    with _driver() as there:
        count = pynvml.nvmlDeviceGetCount() if there else 0
    if limited is None or not count:
        return [str(number) for number in range(count)]
    return [name.strip() for name in limited.split(",") if name.strip() not in ("", "-1")]


@contextmanager
def _driver() -> Iterator[bool]:
    """Whether the NVIDIA driver answers; it does until the block ends."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield False
        return
    try:
        yield True
    finally:
        pynvml.nvmlShutdown()


def _gpu(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(
        index=index,
        name=str(pynvml.nvmlDeviceGetName(handle)),
        total_bytes=int(memory.total),
        used_bytes=int(memory.used),
        load_percent=int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
    )
