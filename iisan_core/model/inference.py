"""A model at work on a whole catalogue: vectors of all items, states of all users, and what each tower contributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from iisan_core.computing.processes import ALONE, ProcessGroup
from iisan_core.model.inputs import arithmetic
from iisan_core.model.recommender import RecommenderModel

ITEMS_AT_ONCE = 1024
USERS_AT_ONCE = 1024
USERS_AT_ONCE_ON_CPU = 256
"""Few, so that little padding is computed; on a GPU every block has to be waited for."""

BIAS = "bias"


class ReadsHistories(Protocol):
    """A user encoder, a whole model, or several: makes a user state of item vectors."""

    def eval(self) -> Any:
        """Without dropout from now on."""

    def newest(self, items: Tensor, real: Tensor, /) -> Tensor:
        """Item vectors [B, S, E] and real positions bool [B, S], padding on the left → newest user states [B, E]."""
        ...


class ServedModel(ReadsHistories, Protocol):
    """What a score takes of a model beside item vectors: one model, or several as one."""

    @property
    def max_history(self) -> int:
        """S."""
        ...

    @property
    def modalities(self) -> tuple[str, ...]:
        """What items are known by."""
        ...

    @property
    def width(self) -> int:
        """Of item vectors and user states."""
        ...

    @property
    def learned_width(self) -> int:
        """The first columns of item vectors, by which items are alike."""
        ...

    @property
    def frozen_columns(self) -> dict[str, slice]:
        """Modality → columns of the frozen path."""
        ...


class ItemInputs(Protocol):
    """Feeds an item encoder with items 1 … N: cached states, or raw inputs of backbones that the encoder holds."""

    def gather(self, items: Tensor) -> tuple[Any, dict[str, Tensor]]:
        """Item numbers [C] on any device → what the item encoder reads, and presence by modality, bool [C]."""

    def gathered(self, batches: Iterable[Tensor]) -> Iterator[tuple[Any, dict[str, Tensor]]]:
        """`gather` for one batch of item numbers after the other; what has to be read is read ahead."""

    def blocks(self, size: int) -> list[Tensor]:
        """All item numbers in blocks of at most `size`."""


@torch.no_grad()
def item_table(
    model: RecommenderModel, inputs: ItemInputs, *, precision: str, processes: ProcessGroup = ALONE
) -> Tensor:
    """Vectors of all items, float32 [N + 1, E]; row 0 is padding and zero. Several processes share the work."""
    model.eval()
    device = next(model.parameters()).device
    blocks = inputs.blocks(ITEMS_AT_ONCE)
    table = torch.zeros(1 + sum(map(len, blocks)), model.width, device=device)
    own = blocks[processes.part(len(blocks))]
    with arithmetic(device, precision):
        for block, gathered in zip(own, inputs.gathered(own), strict=True):
            table[block] = model.items.forward(*gathered).float()
    return processes.sum(table)


@torch.no_grad()
def user_table(encoder: ReadsHistories, table: Tensor, histories: Tensor) -> Tensor:
    """Newest state of each user, float32 [U, E], from item vectors [N + 1, E] and left-padded inputs [U, S].

    Users go in order of their length, so that no block is much wider than its histories are.
    """
    encoder.eval()
    real = histories > 0
    order = real.sum(dim=1).argsort()
    states = table.new_empty(len(histories), table.shape[1], dtype=torch.float32)
    for block in order.split(USERS_AT_ONCE if table.is_cuda else USERS_AT_ONCE_ON_CPU):
        longest = max(1, int(real[block[-1]].sum()))
        newest = histories[block, -longest:]
        states[block] = encoder.newest(table[newest], newest > 0)
    return states


@dataclass(frozen=True)
class Contributions:
    """What each tower, and the ids, add to the item vectors; with the bias, the same for all, they sum to them.

    Scores are products with these vectors, so they split the same way (method, section 3). The columns of a frozen
    path (`RecommenderModel.frozen_columns`) are parts of their own as they stand in the vectors.
    """

    towers: dict[str, Tensor]
    """Tower → float32 [N + 1, E]; row 0 is padding and zero."""
    bias: Tensor
    """[E]."""


@torch.no_grad()
def item_contributions(model: RecommenderModel, inputs: ItemInputs, table: Tensor, *, precision: str) -> Contributions:
    """The contributions to the learned columns of the item vectors that `item_table` computed in the same precision.

    What rounding leaves between the vectors and the sum is shared equally among the towers: below the rounding of
    each, and the sum is exact even in bfloat16.
    """
    model.eval()
    with arithmetic(table.device, precision):
        blocks = [model.items.contributions(*gathered) for gathered in inputs.gathered(inputs.blocks(ITEMS_AT_ONCE))]
    towers = {name: torch.cat([block[name].float() for block in blocks]) for name in blocks[0]}
    bias = model.items.bias.float()
    learned = table[:, : len(bias)]
    rest = (learned[1:] - bias - torch.stack(list(towers.values())).sum(dim=0)) / len(towers)
    padding = torch.zeros_like(learned[:1])
    return Contributions({name: torch.cat([padding, added + rest]) for name, added in towers.items()}, bias)
