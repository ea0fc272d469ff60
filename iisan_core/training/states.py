"""The cached states of the ranked items: where they have room, and how they come to the device that computes.

Axes: N ranked items, C items of a batch, n any rows, ΣD the kept layers' widths in order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, TypeAlias

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from iisan_core.cache.prefetch import ahead
from iisan_core.cache.rows import TORCH_DTYPES
from iisan_core.cache.store import HiddenStateCache
from iisan_core.config.schema import IDS
from iisan_core.errors import RefusedError

Where: TypeAlias = Literal["device", "memory", "mapped"]

StatesChoice: TypeAlias = Literal["auto", "device", "memory", "mapped"]

SHARE = 0.7
"""Of the free memory; the rest is for the model, its gradients and whoever else is at work."""

CGROUPS = {
    Path("/sys/fs/cgroup"): ("memory.max", "memory.current", "inactive_file"),
    Path("/sys/fs/cgroup/memory"): ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Versions 2 and 1: what a container may use, what it uses, and how much of that is files, let go when needed."""


@dataclass(frozen=True)
class Placement:
    """Where the states of a run lie, and why there."""

    where: Where
    """`device`: whole on the device that computes. `memory`: whole in RAM, rows brought to the device batch by batch,
    ahead of the step. `mapped`: in the cache's file, rows read batch by batch, ahead of the step. Where the device is
    the CPU, `memory` is all there is and `device` means the same."""
    nbytes: int
    """Of the states of all ranked items."""
    reason: str

    def __str__(self) -> str:
        place = {"device": "on the device", "memory": "in RAM", "mapped": "read from the cache, ahead of each step"}
        return f"states ({self.nbytes:,} bytes) {place[self.where]}: {self.reason}"


def place_states(nbytes: int, device: torch.device, choice: StatesChoice = "auto") -> Placement:
    """Choose the first of device, RAM and file that has room for `nbytes`, or check the choice of the user.

    Raises `RefusedError` for a choice that has no room.
    """
    shelves: dict[Where, int] = {}
    if device.type == "cuda":
        shelves["device"] = int(SHARE * torch.cuda.mem_get_info(device)[0])
    elif choice == "device":
        choice = "memory"
    shelves["memory"] = int(SHARE * free_ram())
    if choice == "mapped":
        return Placement("mapped", nbytes, "asked for")
    fits: list[Where] = [where for where, room in shelves.items() if nbytes <= room]
    if choice == "auto":
        said = " and ".join(f"{room:,} bytes of {_named(where)}" for where, room in shelves.items())
        return Placement(fits[0] if fits else "mapped", nbytes, f"{said} may be taken")
    if choice not in fits:
        raise RefusedError(
            f"training.states is {choice}, but the states take {nbytes:,} bytes and {shelves[choice]:,} bytes of "
            f"{_named(choice)} may be taken; choose auto, or keep fewer layers in the caches"
        )
    return Placement(choice, nbytes, "asked for")


def free_ram() -> int:
    """Bytes of RAM that this process may still take, the limit of its container included."""
    free = psutil.virtual_memory().available
    for folder, (limit, used, of_files) in CGROUPS.items():
        try:
            kept = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            taken = int((folder / used).read_text()) - int(kept[of_files])
            free = min(free, max(0, int((folder / limit).read_text()) - taken))
        except (OSError, ValueError, KeyError):  # no such limit here
            continue
    return free


def _named(where: Where) -> str:
    return {"device": "GPU memory", "memory": "RAM", "mapped": "the cache's file"}[where]


BATCHES_AHEAD = 2

BLOCK_BYTES = 1 << 26

Gathered: TypeAlias = tuple[dict[str, Tensor], dict[str, Tensor]]
"""Modality → states [C, ΣD], and modality → presence bool [C]; all on the device."""


@dataclass(frozen=True)
class ItemStates:
    """Modality → states of items 1 … N, in the cache's precision; item number `n` is row `n − 1`."""

    states: dict[str, States]
    """Each [N, ΣD]."""
    present: dict[str, Tensor]
    """Each bool [N]: False where the item lacks that modality."""
    widths: dict[str, list[int]]
    """Width of each kept layer."""
    numbers: Tensor
    """Each row's item number for the model's id vectors, int64 [N]: 1 … N, or 0 for items unknown in training."""

    @property
    def missing(self) -> list[str]:
        """Modalities that some items lack."""
        return [name for name, present in self.present.items() if not bool(present.all())]

    @property
    def nbytes(self) -> int:
        """Bytes that the states take."""
        return sum(s.nbytes for s in self.states.values())

    @property
    def where(self) -> Where:
        """Where the states lie; in RAM for a model on the CPU, too."""
        elsewhere = [s for s in self.states.values() if isinstance(s, OffloadedStates)]
        if any(isinstance(s, MappedStates) for s in elsewhere):
            return "mapped"
        return "memory" if elsewhere or self.numbers.device.type == "cpu" else "device"

    def to(self, device: torch.device) -> ItemStates:
        """The same bank on `device`."""
        return replace(
            self,
            states={name: states.to(device) for name, states in self.states.items()},
            present={name: tensor.to(device) for name, tensor in self.present.items()},
            numbers=self.numbers.to(device),
        )

    def gather(self, items: Tensor) -> Gathered:
        """Item numbers [C] on any device, none of them padding → states [C, ΣD] and presence [C] by modality.

        Among the states stand the `numbers`, as `ids`, for models with a vector per item.
        """
        return self._gathered(items, self._fetched(items))

    def gathered(self, batches: Iterable[Tensor]) -> Iterator[Gathered]:
        """`gather` for one batch of item numbers after the other; states that lie elsewhere are fetched ahead."""
        if not any(isinstance(states, OffloadedStates) for states in self.states.values()):
            yield from map(self.gather, batches)
            return
        for items, fetched in ahead(batches, self._fetched, count=BATCHES_AHEAD):
            yield self._gathered(items, fetched)

    def blocks(self, size: int) -> list[Tensor]:
        """All item numbers in blocks of at most `size`."""
        return list(torch.arange(1, len(self.numbers) + 1, device=self.numbers.device).split(size))

    def _fetched(self, items: Tensor) -> dict[str, Tensor]:
        """The part of gathering that waits for RAM or disk: modality → states [C, ΣD] on the CPU."""
        elsewhere = {name: states for name, states in self.states.items() if isinstance(states, OffloadedStates)}
        if not elsewhere:
            return {}
        rows = items.cpu() - 1
        return {name: states.fetch(rows) for name, states in elsewhere.items()}

    def _gathered(self, items: Tensor, fetched: Mapping[str, Tensor]) -> Gathered:
        rows = items.to(self.numbers.device, non_blocking=True) - 1
        states = {IDS: self.numbers.index_select(0, rows)}
        for name, source in self.states.items():
            here = source.index_select(0, rows) if isinstance(source, Tensor) else fetched[name]
            states[name] = here.to(rows.device, non_blocking=True)
        return states, _rows(self.present, rows)


def _rows(tensors: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    return {name: tensor.index_select(0, rows) for name, tensor in tensors.items()}


@dataclass(frozen=True)
class OffloadedStates(ABC):
    """Reads like a tensor [N, ΣD] on `device`, one indexing by row numbers at a time."""

    device: torch.device
    """Where rows are wanted."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(N, ΣD)."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of all rows, wherever they lie."""

    @abstractmethod
    def fetch(self, rows: Tensor) -> Tensor:
        """Rows [n], on the CPU → states [n, ΣD], on the CPU; page-locked where the device is a GPU. Any thread."""

    def to(self, device: torch.device) -> Self:
        """The same states, wanted on another device."""
        return replace(self, device=device)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Rows [n], on any device → states [n, ΣD] on `device`."""
        return self.fetch(rows.cpu()).to(self.device, non_blocking=True)

    def _pinned(self, states: Tensor) -> Tensor:
        return states.pin_memory() if self.device.type == "cuda" else states


@dataclass(frozen=True)
class HostStates(OffloadedStates):
    """Whole in RAM."""

    states: Tensor
    """[N, ΣD]."""

    @property
    def shape(self) -> tuple[int, int]:
        """(N, ΣD)."""
        return self.states.shape[0], self.states.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes in RAM."""
        return self.states.nbytes

    def fetch(self, rows: Tensor) -> Tensor:
        """Rows [n] → states [n, ΣD]."""
        return self._pinned(self.states.index_select(0, rows))


@dataclass(frozen=True)
class MappedStates(OffloadedStates):
    """In the cache's file; the operating system keeps in RAM what there is room for."""

    cache: HiddenStateCache
    rows: NDArray[np.int64]
    """[N]: the cache's row of each item."""

    @property
    def shape(self) -> tuple[int, int]:
        """(N, ΣD)."""
        return len(self.rows), self.cache.manifest.row_width

    @property
    def nbytes(self) -> int:
        """Bytes of these rows in the file."""
        return len(self.rows) * self.cache.manifest.row_bytes

    def fetch(self, rows: Tensor) -> Tensor:
        """Rows [n] → states [n, ΣD]."""
        return self._pinned(self.cache.gather(self.rows[rows.numpy()]))


States: TypeAlias = Tensor | OffloadedStates
"""One modality's states [N, ΣD], on the device or fetched from elsewhere."""


def put(cache: HiddenStateCache, rows: NDArray[np.int64], *, device: torch.device, where: Where) -> States:
    """Rows [N] of a cache as states [N, ΣD] that a model on `device` can index."""
    if where == "mapped":
        return MappedStates(device, cache, rows)
    in_ram = where == "memory" or device.type == "cpu"
    states = _whole(cache, rows, device=torch.device("cpu") if in_ram else device)
    return HostStates(device, states) if in_ram and device.type != "cpu" else states


def _whole(cache: HiddenStateCache, rows: NDArray[np.int64], *, device: torch.device) -> Tensor:
    """Block by block, so that the states need no second room on the way to `device`."""
    manifest = cache.manifest
    states = torch.empty(len(rows), manifest.row_width, dtype=TORCH_DTYPES[manifest.dtype], device=device)
    size = max(1, BLOCK_BYTES // manifest.row_bytes)
    for start in range(0, len(rows), size):
        states[start : start + size] = cache.gather(rows[start : start + size])
    return states
