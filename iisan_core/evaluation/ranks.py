"""TODO."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iisan_core.data.split import Split
from iisan_core.evaluation.rank_table import SUBSETS, UNMASKED
from iisan_core.evaluation.ranking import rank_targets
from iisan_core.model.inference import user_table
from iisan_core.model.recommender import RecommenderModel


def ranks_of(
    model: RecommenderModel, table: Tensor, split: Split, subset: str, *, masked: bool = True
) -> NDArray[np.int64]:
    """Rank of every user's target in `valid` or `test`, [U]; where `masked`, items of the history get no score."""
    history = torch.from_numpy(split.history(subset)).to(table.device)
    targets = torch.from_numpy(split.targets(subset)).to(table.device)
    users = user_table(model.users, table, history[:, -split.inputs :])
    seen = history if masked else torch.zeros_like(history[:, :1])
    return rank_targets(users, table, seen=seen, targets=targets).cpu().numpy()


def all_ranks(model: RecommenderModel, table: Tensor, split: Split) -> dict[str, NDArray[np.int64]]:
    """Ranks [U] by the name of their column in a rank table, from item vectors [N + 1, E]."""
    masked = {subset: ranks_of(model, table, split, subset) for subset in SUBSETS}
    return masked | {subset + UNMASKED: ranks_of(model, table, split, subset, masked=False) for subset in SUBSETS}
