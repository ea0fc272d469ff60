"""All that is held out of a user is to be found: ranks, their columns and metrics, against a plain count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from iisan_core.config.schema import BaselineConfig
from iisan_core.data.sequences import Sequences
from iisan_core.data.split import Split
from iisan_core.evaluation.baselines import fit_baseline
from iisan_core.evaluation.metrics import RankLists, per_user, summary
from iisan_core.evaluation.rank_table import rank_table, ranks_in
from iisan_core.evaluation.ranks import baseline_ranks, baseline_top

HELD = [[1, 2, 3, 6, 4, 5, 4], [1, 2, 7, 5], [2, 1, 3, 1, 2]]
"""Users' items: two train, one validates, the rest tests; user 0 meets item 4 twice, user 2 items of the history."""


@pytest.fixture
def held() -> Split:
    log = Sequences.of_lists(HELD)
    everybody = np.arange(len(HELD))
    whole = Split.of_sequences(np.ones((3, 3), dtype=int), item_ids=list("abcdefgh"), max_history=2)
    return replace(
        whole,
        log=log,
        train_starts=log.starts,
        train_ends=log.starts + 2,
        valid_ends=log.starts + 3,
        measured={"valid": everybody, "test": everybody},
        rest=True,
    )


def plain_ranks(user, *, masked):
    """Items 1 and 2 were trained on three times each, the others never: all of a kind tie, and ties count in full."""
    counts = {n: 3 if n in (1, 2) else 0 for n in range(1, 9)}
    history, relevant = HELD[user][:3], dict.fromkeys(HELD[user][3:])
    allowed = [n for n in counts if not masked or n not in history]
    return sorted(
        sum(counts[other] >= counts[n] for other in allowed) if n in allowed else len(counts) + 1 for n in relevant
    )


@pytest.mark.parametrize("masked", [True, False])
def test_every_different_item_is_ranked_once(held, masked):
    ranks = baseline_ranks(fit_baseline(held, BaselineConfig(kind="popular")), held)
    found = ranks["test" if masked else "test_unmasked"]
    assert isinstance(found, RankLists)
    assert found.column.to_list() == [plain_ranks(user, masked=masked) for user in range(3)]
    assert found.best.tolist() == [plain_ranks(user, masked=masked)[0] for user in range(3)]


def test_the_table_holds_the_best_and_all_and_gives_the_metrics_back(held):
    ranks = baseline_ranks(fit_baseline(held, BaselineConfig(kind="popular")), held)
    table = rank_table(held, ranks)
    assert table["test"].to_list() == [min(plain_ranks(user, masked=True)) for user in range(3)]
    assert table["test_all"].to_list() == [plain_ranks(user, masked=True) for user in range(3)]
    assert summary(ranks_in(table, "test")) == summary(ranks["test"])
    expected = [np.mean([rank <= 5 for rank in plain_ranks(user, masked=True)]) for user in range(3)]
    assert per_user(ranks_in(table, "test"), "Recall@5").tolist() == pytest.approx([100 * share for share in expected])


def test_the_lists_of_a_baseline_are_its_best_scores(held):
    top = baseline_top(fit_baseline(held, BaselineConfig(kind="popular")), held, k=4)
    assert top.tolist() == [[4, 5, 6, 7], [3, 4, 5, 6], [4, 5, 6, 7]]
    assert torch.from_numpy(top).dtype == torch.int64
