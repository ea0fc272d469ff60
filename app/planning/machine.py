"""What this machine has for the work: a device, memory, disk, and how fast it multiplies."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from huggingface_hub import constants

from iisan_core.training.device import choose_device, describe
from iisan_core.training.placement import free_ram

ROWS, WIDTH = 512, 768
"""Size of the product that is timed: that of an encoder's feed-forward on a batch."""

REPEATS = 3

AT_WORK = {"cpu": 100_000_000}
"""By kind of device, bytes that the libraries take for themselves once they compute (buffers of the allocator, of
threads, of kernels), as measured with MiniLM; of a GPU, only what torch allocates there counts."""


@dataclass(frozen=True)
class Machine:
    """The place where an extraction and a training would run; sizes in bytes."""

    device: str
    """`cpu` or `cuda`."""
    name: str
    memory: int
    """Of the device; for the CPU, the RAM."""
    memory_free: int
    ram_free: int
    disk_free: int
    """Where caches would be written."""
    hub_disk_free: int
    """Where the hub's files would be downloaded to."""

    @property
    def at_work(self) -> int:
        """Bytes that any work takes here, however small."""
        return AT_WORK.get(self.device, 0)

    @classmethod
    def here(cls, device: str, *, caches: Path) -> Machine:
        """Look at this machine; `device` as in a configuration, `caches` a folder that need not exist yet."""
        place = choose_device(device)
        ram = free_ram()
        free, total = torch.cuda.mem_get_info(place) if place.type == "cuda" else (ram, psutil.virtual_memory().total)
        return cls(
            device=place.type,
            name=describe(place),
            memory=total,
            memory_free=free,
            ram_free=ram,
            disk_free=disk_free(caches),
            hub_disk_free=disk_free(Path(constants.HF_HUB_CACHE)),
        )


def matmul_rate(device: str, dtype: str) -> float:
    """Floating-point operations per second of a matrix product here, the best of a few."""
    place = torch.device(device)
    a = torch.randn(ROWS, WIDTH, device=place, dtype=getattr(torch, dtype))
    b = torch.randn(WIDTH, 4 * WIDTH, device=place, dtype=getattr(torch, dtype))
    seconds = min(_seconds(a, b) for _ in range(REPEATS))
    return 2 * ROWS * WIDTH * 4 * WIDTH / seconds


def _seconds(a: torch.Tensor, b: torch.Tensor) -> float:
    start = time.perf_counter()
    product = a @ b
    if product.device.type == "cuda":
        torch.cuda.synchronize(product.device)
    return time.perf_counter() - start


def disk_free(folder: Path) -> int:
    """Bytes free on the disk of a folder that need not exist yet."""
    folder = folder.expanduser().absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
