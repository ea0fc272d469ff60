"""Where the cached states lie while a model learns from them: the quickest place that has room."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import psutil
import torch

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
