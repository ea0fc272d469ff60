"""From a counted baseline to ranks, under the protocol of all others."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from iisan_core.baselines.item_knn import ItemKNN
from iisan_core.baselines.popular import Popular
from iisan_core.evaluation.rank_table import PARTS, UNMASKED
from iisan_core.ranking import rank_scores, users_per_block
from iisan_core.sequences import Split


def counted_ranks(baseline: Popular | ItemKNN, split: Split) -> dict[str, NDArray[np.int64]]:
    """Ranks [U] by the name of their column in a rank table."""
    masked = {part: ranks_of(baseline, split, part, masked=True) for part in PARTS}
    return masked | {part + UNMASKED: ranks_of(baseline, split, part, masked=False) for part in PARTS}


def ranks_of(baseline: Popular | ItemKNN, split: Split, part: str, *, masked: bool) -> NDArray[np.int64]:
    """Rank of every user's target in `valid` or `test`, [U]; where `masked`, items of the history get no score."""
    history, targets = split.history(part), split.targets(part)
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
