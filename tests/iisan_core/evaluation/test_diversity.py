"""Diversity of lists by cached states against the slow form, with gaps, in blocks, from any kind of states."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from iisan_core.evaluation import diversity
from iisan_core.evaluation.diversity import frozen_diversity

ITEMS, USERS, K = 30, 25, 6
WIDTHS = {"text": [3, 5], "image": [4, 4, 2]}


@pytest.fixture
def catalogue():
    """States of two modalities in half precision, one of which some items lack; lists of one to six items."""
    draw = torch.Generator().manual_seed(0)
    states = {m: (torch.randn(ITEMS, sum(w), generator=draw) + 3).half() for m, w in WIDTHS.items()}
    present = {"text": torch.ones(ITEMS, dtype=torch.bool), "image": torch.rand(ITEMS, generator=draw) > 0.3}
    rng = np.random.default_rng(0)
    top = np.stack([rng.permutation(np.arange(1, ITEMS + 1))[:K] for _ in range(USERS)])
    top[np.arange(K) >= rng.integers(1, K + 1, size=USERS)[:, None]] = 0
    return top, states, present


def slow(top, states, present):
    """User by user and pair by pair, from centred last layers."""
    found = []
    for row in top:
        of_modalities = []
        for name, widths in WIDTHS.items():
            last = states[name][:, -widths[-1] :].float()
            centred = last - last[present[name]].mean(dim=0)
            have = [n - 1 for n in row if n and present[name][n - 1]]
            distances = [
                1 - float(F.cosine_similarity(centred[a], centred[b], dim=0)) for a, b in combinations(have, 2)
            ]
            of_modalities += [np.mean(distances)] if distances else []
        found.append(np.mean(of_modalities) if of_modalities else np.nan)
    return found


@pytest.mark.parametrize("block_bytes", [1, 400, 2**26])
def test_diversity_is_that_of_pairs_whatever_the_block(catalogue, monkeypatch, block_bytes):
    monkeypatch.setattr(diversity, "BLOCK_BYTES", block_bytes)
    found = frozen_diversity(*catalogue, widths=WIDTHS)
    assert np.isnan(found).any(), "lists of one item are among them"
    assert found.tolist() == pytest.approx(slow(*catalogue), abs=1e-5, nan_ok=True)


def test_lists_at_random_are_about_one_apart(catalogue):
    _, states, present = catalogue
    everybody = np.arange(1, ITEMS + 1)[None]
    assert frozen_diversity(everybody, states, present, widths=WIDTHS).item() == pytest.approx(1, abs=0.1)


def test_without_modalities_there_is_no_diversity(catalogue):
    top, _, _ = catalogue
    assert frozen_diversity(top, {}, {}, widths={}) is None
