"""Work of a given size without any data or weights: random states, and sequences shaped like a shop's log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from iisan_core.config import ModelConfig
from iisan_core.model.recommender_model import ModelShape
from iisan_core.sequences import Split
from iisan_core.training.elsewhere import Elsewhere
from iisan_core.training.state_bank import StateBank

LENGTHS = np.arange(5, 14)
LENGTH_SHARES = 0.62 ** np.arange(len(LENGTHS))
"""Kept interactions of a user; the mean is about 6.6, Amazon Scientific's is 6.8."""
POPULARITY_EXPONENT = 0.6


@dataclass(frozen=True)
class Size:
    """How large the work is; by default Amazon Scientific with BERT-base and ViT-base states."""

    items: int = 20_314
    users: int = 12_076
    layers: int = 7
    text_width: int = 768
    image_width: int = 768
    inputs: int = 10

    @property
    def widths(self) -> dict[str, tuple[int, ...]]:
        """Width of each kept layer by modality."""
        return {"image": (self.image_width,) * self.layers, "text": (self.text_width,) * self.layers}

    def shape(self, config: ModelConfig) -> ModelShape:
        """The model for it."""
        items = self.items if config.ids else 0
        return ModelShape(widths=self.widths, inputs=self.inputs, items=items, config=config)


def random_split(size: Size, *, seed: int = 0) -> Split:
    """Left-padded sequences with a skewed popularity."""
    rng = np.random.default_rng(seed)
    keep = size.inputs + 3
    lengths = rng.choice(LENGTHS, size=size.users, p=LENGTH_SHARES / LENGTH_SHARES.sum()).clip(max=keep)
    weights = np.arange(1, size.items + 1) ** -POPULARITY_EXPONENT
    sequences = rng.choice(size.items, size=(size.users, keep), p=weights / weights.sum()) + 1
    sequences[np.arange(keep) < keep - lengths[:, None]] = 0
    ids = [str(n) for n in range(1, size.items + 1)]
    return Split([str(u) for u in range(size.users)], ids, sequences, size.inputs)


def random_bank(size: Size, *, seed: int = 0) -> StateBank:
    """Standard-normal states in float16, nothing missing."""
    torch.manual_seed(seed)
    states: dict[str, Tensor | Elsewhere] = {name: _normal(size.items, sum(w)) for name, w in size.widths.items()}
    present = {name: torch.ones(size.items, dtype=torch.bool) for name in states}
    widths = {name: list(w) for name, w in size.widths.items()}
    return StateBank(states, present, widths, numbers=torch.arange(1, size.items + 1))


def _normal(rows: int, width: int) -> Tensor:
    """Drawn in place: a benchmark of memory should not see a copy in float32."""
    return torch.empty(rows, width, dtype=torch.float16).normal_()
