"""From a model to ranks: every item encoded once, every user once, every item ranked."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iisan_core.model.recommender_model import RecommenderModel
from iisan_core.model.user_encoder import UserEncoder
from iisan_core.ranking import rank_targets
from iisan_core.sequences import Split
from iisan_core.training.bank import Bank
from iisan_core.training.device import arithmetic

ITEMS_AT_ONCE = 1024
USERS_AT_ONCE = 1024
USERS_AT_ONCE_ON_CPU = 256
"""Few, so that little padding is computed; on a GPU every block has to be waited for."""


@torch.no_grad()
def item_table(model: RecommenderModel, bank: Bank, *, precision: str) -> Tensor:
    """Vectors of all items, float32 [N + 1, E]; row 0 is padding and zero."""
    model.eval()
    device = next(model.parameters()).device
    with arithmetic(device, precision):
        rows = [model.items.forward(*gathered).float() for gathered in bank.gathered(bank.blocks(ITEMS_AT_ONCE))]
    return torch.cat([torch.zeros_like(rows[0][:1]), *rows])


@torch.no_grad()
def user_table(encoder: UserEncoder, table: Tensor, histories: Tensor) -> Tensor:
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


def ranks_of(
    model: RecommenderModel, table: Tensor, split: Split, part: str, *, masked: bool = True
) -> NDArray[np.int64]:
    """Rank of every user's target in `valid` or `test`, [U]; where `masked`, items of the history get no score."""
    history = torch.from_numpy(split.history(part)).to(table.device)
    targets = torch.from_numpy(split.targets(part)).to(table.device)
    users = user_table(model.users, table, history[:, -split.inputs :])
    seen = history if masked else torch.zeros_like(history[:, :1])
    return rank_targets(users, table, seen=seen, targets=targets).cpu().numpy()
