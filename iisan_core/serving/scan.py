"""One user's best items of a large catalogue, exactly, at a quarter of the memory traffic that exact scores take.

A single user's scores cost what it costs to read all vectors. So they are read as whole numbers of eight bits with a
scale each, which bounds every score from both sides; what can be among the best by these bounds, few items, is scored
exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LEAST_ITEMS = 100_000
"""Below, exact scores are quick enough."""

FIRST = 512
"""Items of the largest bounds that are scored exactly to know what the others have to reach."""

LARGEST = 127

HALF_A_STEP = 2.0**-8
"""What rounding to bfloat16 may change, against the number itself; twice what it does, for the sums' own rounding."""

AT_ONCE = 2**10
"""Rows that are made ready at once: few enough to stay in the processor's cache."""


@dataclass(frozen=True)
class Scan:
    """Vectors [C, W] in eight bits, row by row, and how far they are from what they stand for."""

    vectors: Tensor
    """Float32 [C, W], as they are."""
    numbers: Tensor
    """Int8 [C, W]."""
    scales: Tensor
    """Bfloat16 [C]: a row's vector is about its numbers times this."""
    error: float
    """The longest difference between a vector and what stands for it."""
    longest: float
    """The longest vector."""

    @classmethod
    def of(cls, vectors: Tensor) -> Scan:
        """Float32 [C, W] → the same, ready to be scanned."""
        numbers = torch.empty(vectors.shape, dtype=torch.int8)
        scales = torch.empty(len(vectors), dtype=torch.bfloat16)
        error = longest = 0.0
        for start in range(0, len(vectors), AT_ONCE):
            rows = vectors[start : start + AT_ONCE]
            # A little more than needed, so that rounding the scale lets no number grow beyond the largest.
            scale = (rows.abs().amax(dim=1) * (1 + 2.0**-7) / LARGEST).clamp(min=1e-30).bfloat16()
            whole = (rows / scale.float().unsqueeze(1)).round()
            numbers[start : start + AT_ONCE], scales[start : start + AT_ONCE] = whole.to(torch.int8), scale
            rest = rows - whole * scale.float().unsqueeze(1)
            error = max(error, float(rest.norm(dim=1).max()))
            longest = max(longest, float(rows.norm(dim=1).max()))
        return cls(vectors, numbers, scales, error, longest)

    def about(self, user: Tensor) -> tuple[Tensor, float]:
        """User state [1, W] → scores [1, C], none of which is further from the exact one than the second answer."""
        rounded = user.bfloat16()
        scores = torch._weight_int8pack_mm(rounded, self.numbers, self.scales).float()
        of_state = float((user - rounded.float()).norm()) * (self.longest + self.error)
        of_scores = HALF_A_STEP * float(scores.abs().max())
        return scores, float(user.norm()) * self.error + of_state + of_scores

    def exact(self, user: Tensor, columns: Tensor) -> Tensor:
        """User state [1, W] and columns [n] → scores [1, n]."""
        return user @ self.vectors[columns].T


def serves(vectors: Tensor) -> bool:
    """Whether a scan of these vectors pays, and is to be had here."""
    return (
        len(vectors) >= LEAST_ITEMS
        and vectors.device.type == "cpu"
        and vectors.dtype == torch.float32
        and hasattr(torch, "_weight_int8pack_mm")
        and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    )
