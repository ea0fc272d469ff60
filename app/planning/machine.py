"""What this machine has for the work: a device, memory, disk, and how fast it multiplies."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from huggingface_hub import constants

from app.bench.measure import product_rate
from iisan_core.training.device import choose_device, describe
from iisan_core.training.states import free_ram

ROWS, WIDTH = 512, 768
"""Positions and width of the feed-forward that is timed."""

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

    def product_rate(self, dtype: str) -> float:
        """Operations per second of a product as large as an encoder's feed-forward on a batch; `dtype` is torch's."""
        return product_rate(ROWS, WIDTH, 4 * WIDTH, device=torch.device(self.device), precision=dtype)


def disk_free(folder: Path) -> int:
    """Bytes free on the disk of a folder that need not exist yet."""
    folder = folder.expanduser().absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
