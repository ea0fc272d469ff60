"""Cached states on their way into the item encoder: at one scale, none missing, in the arithmetic's precision.

Layers and backbones differ by an order of magnitude in their scale; some items have no text or no picture, and a
learned vector takes the place of what is missing (method, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor, nn

ALL = slice(None)

ROWS_AT_ONCE = 2048

CONSTANT = 1e-4
"""A number that varies less than this, against the average one, is the same for every item and carries nothing."""


class Rows(Protocol):
    """States [N, ΣD] to be had by row, be they a tensor or not in memory at all."""

    @property
    def shape(self) -> Sequence[int]:
        """(N, ΣD)."""
        ...

    @property
    def device(self) -> torch.device:
        """Where rows arrive."""
        ...

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """Rows [n] → [n, ΣD]."""
        ...


class Standardize(nn.Module):
    """Brings every number of the states to mean 0 and deviation 1 over a catalogue; constant ones become 0.

    The two vectors belong to the model, so that items added later are treated alike.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def forward(self, states: Tensor, columns: slice = ALL) -> Tensor:
        """`columns` of the states [n, ΣD] → the same at their scale; by default all of them."""
        return torch.addcmul(self.shift[columns].to(states.dtype), states, self.scale[columns].to(states.dtype))

    def fit(self, states: Rows, present: Tensor) -> None:
        """Measure the catalogue: states [N, ΣD] in any precision, of which rows with `present` [N] count."""
        rows = present.nonzero().squeeze(1)
        total = torch.zeros(states.shape[1], dtype=torch.float64, device=states.device)
        squares = torch.zeros_like(total)
        for block in rows.split(ROWS_AT_ONCE):
            values = states[block].double()
            total += values.sum(dim=0)
            squares += values.square().sum(dim=0)
        mean = total / len(rows)
        deviation = (squares / len(rows) - mean.square()).clamp(min=0).sqrt()
        varies = deviation > CONSTANT * deviation.mean()
        scale = torch.where(varies, 1 / deviation, 0)
        self.scale.copy_(scale)
        self.shift.copy_(-mean * scale)


class MissingEmbedding(nn.Module):
    """One learned vector per kept layer, side by side: [ΣD]. Replaces the hidden states of a missing modality."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.vector, std=0.02)

    def forward(self, states: Tensor, present: Tensor, columns: slice = ALL) -> Tensor:
        """`columns` of the states [n, ΣD] and presence [n] → the same with every absent row replaced."""
        return torch.where(present.unsqueeze(1), states, self.vector[columns].to(states.dtype))


def drop_modalities(present: Mapping[str, Tensor], *, rate: float) -> dict[str, Tensor]:
    """Modality dropout: hide each present modality with probability `rate`, but never an item's last one.

    Presence is modality → bool [n]; so the missing embeddings are trained on items that are whole, too.
    """
    names = list(present)
    whole = torch.stack([present[name] for name in names])  # [M, n]
    kept = whole & (torch.rand(whole.shape, device=whole.device) >= rate)
    kept = torch.where(kept.any(dim=0), kept, whole)
    return dict(zip(names, kept, strict=True))


def arithmetic(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """A context in which matrix products run in `precision`, `float32` or `bfloat16`; weights keep theirs."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def arithmetic_dtype(weight: Tensor) -> torch.dtype:
    """The dtype in which `weight` multiplies: that of the `arithmetic` around, else its own."""
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype


def widened(states: Tensor, dtype: torch.dtype) -> Tensor:
    """States [n, D] in `dtype`.

    On a CPU the way from float16 to bfloat16 by float32 is four times as fast as the direct one, and the same.
    """
    by_float = states.dtype == torch.float16 and dtype == torch.bfloat16 and not states.is_cuda
    return states.float().to(dtype) if by_float else states.to(dtype)
