"""Every measured user's rank, and list of best items, by a model or a counted baseline (method, section 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from iisan_core.computing.processes import ALONE, ProcessGroup
from iisan_core.data.sequences import Numbers, Sequences
from iisan_core.data.split import Split
from iisan_core.evaluation.baselines import Baseline
from iisan_core.evaluation.beyond import Top
from iisan_core.evaluation.metrics import Found, RankLists
from iisan_core.evaluation.rank_table import both_protocols
from iisan_core.evaluation.ranking import rank_scores, rank_targets, top_items, top_of_scores, users_per_block
from iisan_core.model.inference import ServedModel, user_table
from iisan_core.model.together import Added, Together


def all_ranks(model: ServedModel, table: Tensor, split: Split, *, together: Together | None = None) -> dict[str, Found]:
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
    processes: ProcessGroup = ALONE,
) -> Found:
    """Rank of every measured user's next item in `valid` or `test`, [V], or of all different items held out of them.

    Where `masked`, items of the history get no score; `together` is added to the scores, where something is. Several
    processes share the users.
    """
    rows, targets = to_find(split, subset)
    ranks = torch.zeros(len(rows), dtype=torch.int64, device=table.device)
    own = processes.part(len(rows))
    history, seen = split.history(subset).take(rows[own]), _seen(split, subset, masked=masked).take(rows[own])
    users, user = np.unique(rows[own], return_inverse=True)  # of one with several targets, the state once
    of_users = _user_states(model, table, split.history(subset).take(users), split.max_history)
    states = of_users[torch.from_numpy(user).to(table.device)]
    added = added_to(history, together, table.device)
    numbers = torch.from_numpy(targets[own]).to(table.device)
    ranks[own] = rank_targets(states, table, seen=seen, targets=numbers, added=added)
    found = processes.sum(ranks).cpu().numpy()
    return RankLists.by_user(rows, found) if split.rest else found


def added_to(histories: Sequences, together: Together | None, device: torch.device) -> Callable[[Tensor], Added] | None:
    """Rows of these histories → what is added to their users' products; None where nothing is."""
    if together is None:
        return None
    return lambda rows: together.added(histories.take(rows.numpy(force=True)).newest(together.newest), device)


def top_of(model: ServedModel, table: Tensor, split: Split, *, k: int, together: Together | None = None) -> Top:
    """The best `k` item numbers of every test user, [V, k], from item vectors [N + 1, E]; the history is masked."""
    users = _user_states(model, table, split.history("test"), split.max_history)
    added = added_to(split.history("test"), together, table.device)
    return top_items(users, table, seen=split.seen("test"), k=k, added=added).cpu().numpy()


def _user_states(model: ServedModel, table: Tensor, histories: Sequences, length: int) -> Tensor:
    """The state after each history, of which the newest `length` items are read."""
    return user_table(model, table, torch.from_numpy(histories.newest(length)).to(table.device))


def baseline_ranks(baseline: Baseline, split: Split) -> dict[str, Found]:
    """Ranks by the name of their column in a rank table."""
    return both_protocols(partial(_baseline_ranks, baseline, split))


def _baseline_ranks(baseline: Baseline, split: Split, subset: str, *, masked: bool) -> Found:
    rows, targets = to_find(split, subset)
    blocks = [
        rank_scores(scores, seen=hidden, targets=torch.from_numpy(targets[block]))
        for block, scores, hidden in _baseline_scores(baseline, split, subset, rows=rows, masked=masked)
    ]
    ranks = torch.cat(blocks).numpy()
    return RankLists.by_user(rows, ranks) if split.rest else ranks


def baseline_top(baseline: Baseline, split: Split, *, k: int) -> Top:
    """The best `k` item numbers of every test user, [V, k]; the history is masked."""
    everybody = np.arange(len(split.measured["test"]))
    blocks = _baseline_scores(baseline, split, "test", rows=everybody, masked=True)
    return torch.cat([top_of_scores(scores, seen=hidden, k=k) for _, scores, hidden in blocks]).numpy()


def _baseline_scores(
    baseline: Baseline, split: Split, subset: str, *, rows: Numbers, masked: bool
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Blocks of `rows` [R] of measured users: which of them, scores [B, N + 1], and numbers to be hidden [B, H]."""
    histories, seen = split.history(subset), _seen(split, subset, masked=masked)
    size = users_per_block(len(split.item_ids))
    for start in range(0, len(rows), size):
        block = slice(start, start + size)
        scores = baseline.scores(histories.take(rows[block]).newest(split.max_history))
        yield block, torch.from_numpy(scores), torch.from_numpy(seen.take(rows[block]).newest())


def to_find(split: Split, subset: str) -> tuple[Numbers, Numbers]:
    """Rows of measured users, and the items to be found of each; one counts once, however often it came."""
    rows, targets = split.relevant(subset).flat()
    if not split.rest:
        return rows, targets.astype(np.int64)
    size = len(split.item_ids) + 1
    pairs = np.unique(rows * size + targets)
    return pairs // size, pairs % size


def _seen(split: Split, subset: str, *, masked: bool) -> Sequences:
    return split.seen(subset) if masked else nothing(len(split.measured[subset]))


def nothing(rows: int) -> Sequences:
    """So many rows without an item."""
    nowhere = np.zeros(rows, dtype=np.int64)
    return Sequences(np.zeros(0, dtype=np.int32), nowhere, nowhere)
