"""What robustness is tested with: states of some items taken away, swapped or blurred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from iisan_core.config.schema import CorruptionConfig
from iisan_core.errors import RefusedError
from iisan_core.training.states import ItemStates


def corrupted(bank: ItemStates, corruption: Mapping[str, CorruptionConfig]) -> ItemStates:
    """The same bank with a share of the items corrupted, modality by modality.

    `dropped`: the item lacks the modality. `shuffled`: the chosen items swap their states among themselves.
    `noise`: every number gets Gaussian noise of the deviation that it has over the catalogue. Which items are chosen
    follows from the seed, and a larger share contains a smaller one. Items that lack the modality are left alone.

    Raises `RefusedError` for a modality that is not there, or whose states are not in memory.
    """
    states, present = dict(bank.states), dict(bank.present)
    for name, what in corruption.items():
        if name not in states:
            raise RefusedError(f"corruption.{name}: there is no such modality, there are {', '.join(states)}")
        held = states[name]
        if not isinstance(held, Tensor):
            raise RefusedError(
                f"corruption.{name}: its states are read from the cache step by step and cannot be changed; set "
                "training.states to device, or to memory on a CPU"
            )
        draw = torch.Generator().manual_seed(what.seed)
        rows = _chosen(present[name], what.share, draw)
        if what.kind == "dropped":
            present[name] = present[name].index_fill(0, rows, False)
        elif what.kind == "shuffled":
            states[name] = held.index_copy(0, rows, held[rows[torch.randperm(len(rows), generator=draw)]])
        else:
            states[name] = _blurred(held, rows, present[name], draw)
    return replace(bank, states=states, present=present)


def _chosen(present: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Rows of the corrupted items: the first `share` of those that have the modality, in a random order."""
    rows = present.nonzero().flatten()
    order = torch.randperm(len(rows), generator=draw)
    return rows[order[: round(share * len(rows))].to(rows.device)]


def _blurred(states: Tensor, rows: Tensor, present: Tensor, draw: torch.Generator) -> Tensor:
    deviation = states[present].float().std(dim=0)  # [ΣD]
    noise = torch.randn(len(rows), states.shape[1], generator=draw).to(states.device)
    return states.index_copy(0, rows, (states[rows].float() + noise * deviation).to(states.dtype))
