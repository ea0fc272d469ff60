"""Every measured user's rank, by a model or a counted baseline, under one protocol (method, section 6)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from iisan_core.data.sequences import Sequences
from iisan_core.data.split import Split
from iisan_core.evaluation.baselines import Baseline
from iisan_core.evaluation.metrics import Ranks
from iisan_core.evaluation.rank_table import both_protocols
from iisan_core.evaluation.ranking import rank_scores, rank_targets, users_per_block
from iisan_core.model.inference import ServedModel, user_table
from iisan_core.model.together import Added, Together


def all_ranks(model: ServedModel, table: Tensor, split: Split, *, together: Together | None = None) -> dict[str, Ranks]:
    """Ranks by the name of their column in a rank table, from item vectors [N + 1, E]."""
    return both_protocols(partial(ranks_of, model, table, split, together=together))


def ranks_of(
    model: ServedModel,
    table: Tensor,
    split: Split,
    subset: str,
    *,
    masked: bool = True,
    together: Together | None = None,
) -> Ranks:
    """Rank of every item that is to be found in `valid` or `test`, user after user, [T].

    That is each measured user's next item, T = V, or all that is held out of them. Where `masked`, items of the history
    get no score; `together` is added to the scores, where something is.
    """
    histories = split.history(subset)
    users = user_table(model, table, torch.from_numpy(histories.newest(split.max_history)).to(table.device))
    rows, targets = split.relevant(subset).flat()
    seen = (split.seen(subset) if masked else nothing(len(histories))).take(rows)
    numbers = torch.from_numpy(targets.astype(np.int64)).to(table.device)
    states = users[torch.from_numpy(rows).to(table.device)] if split.rest else users
    added = added_to(histories.take(rows), together, table.device)
    return rank_targets(states, table, seen=seen, targets=numbers, added=added).cpu().numpy()


def added_to(histories: Sequences, together: Together | None, device: torch.device) -> Callable[[Tensor], Added] | None:
    """Rows of these histories → what is added to their users' products; None where nothing is."""
    if together is None:
        return None
    return lambda rows: together.added(histories.take(rows.numpy(force=True)).newest(together.newest), device)


def baseline_ranks(baseline: Baseline, split: Split) -> dict[str, Ranks]:
    """Ranks by the name of their column in a rank table."""
    return both_protocols(partial(_baseline_ranks, baseline, split))


def _baseline_ranks(baseline: Baseline, split: Split, subset: str, *, masked: bool) -> Ranks:
    histories = split.history(subset)
    rows, targets = split.relevant(subset).flat()
    seen = split.seen(subset) if masked else nothing(len(histories))
    size = users_per_block(len(split.item_ids))
    blocks = []
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        blocks.append(
            rank_scores(
                torch.from_numpy(baseline.scores(histories.take(block).newest(split.max_history))),
                seen=torch.from_numpy(seen.take(block).newest()),
                targets=torch.from_numpy(targets[start : start + size].astype(np.int64)),
            )
        )
    return torch.cat(blocks).numpy()


def nothing(rows: int) -> Sequences:
    """So many rows without an item."""
    nowhere = np.zeros(rows, dtype=np.int64)
    return Sequences(np.zeros(0, dtype=np.int32), nowhere, nowhere)
