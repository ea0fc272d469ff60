"""Every user's rank, by a model or a counted baseline, under one protocol (method, section 6)."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from iisan_core.data.split import Split
from iisan_core.evaluation.baselines import Baseline
from iisan_core.evaluation.metrics import Ranks
from iisan_core.evaluation.rank_table import both_protocols
from iisan_core.evaluation.ranking import rank_scores, rank_targets, users_per_block
from iisan_core.model.inference import user_table
from iisan_core.model.recommender import RecommenderModel
from iisan_core.model.together import Together


def all_ranks(
    model: RecommenderModel, table: Tensor, split: Split, *, together: Together | None = None
) -> dict[str, Ranks]:
    """Ranks [U] by the name of their column in a rank table, from item vectors [N + 1, E]."""
    return both_protocols(partial(ranks_of, model, table, split, together=together))


def ranks_of(
    model: RecommenderModel,
    table: Tensor,
    split: Split,
    subset: str,
    *,
    masked: bool = True,
    together: Together | None = None,
) -> Ranks:
    """Rank of every user's target in `valid` or `test`, [U]; where `masked`, items of the history get no score.

    together  what is added to the scores, where something is
    """
    history = torch.from_numpy(split.history(subset)).to(table.device)
    targets = torch.from_numpy(split.targets(subset)).to(table.device)
    newest = history[:, -split.max_history :]
    users = user_table(model, table, newest)
    seen = history if masked else torch.zeros_like(history[:, :1])
    added = None if together is None else lambda rows: together.added(newest[rows])
    return rank_targets(users, table, seen=seen, targets=targets, added=added).cpu().numpy()


def baseline_ranks(baseline: Baseline, split: Split) -> dict[str, Ranks]:
    """Ranks [U] by the name of their column in a rank table."""
    return both_protocols(partial(_baseline_ranks, baseline, split))


def _baseline_ranks(baseline: Baseline, split: Split, subset: str, *, masked: bool) -> Ranks:
    history, targets = split.history(subset), split.targets(subset)
    seen = history if masked else np.zeros_like(history[:, :1])
    size = users_per_block(len(split.item_ids))
    blocks = [
        rank_scores(
            torch.from_numpy(baseline.scores(history[start : start + size])),
            seen=torch.from_numpy(seen[start : start + size]),
            targets=torch.from_numpy(targets[start : start + size]),
        )
        for start in range(0, len(targets), size)
    ]
    return torch.cat(blocks).numpy()
