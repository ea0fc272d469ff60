"""What is in the layers of a cache: how well properties of the items can be read off each, and how alike they are.

Linear probes after Alain and Bengio (2016), linear centred kernel alignment after Kornblith et al. (2019).
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from iisan_core.cache.store import HiddenStateCache
from iisan_core.errors import RefusedError

HELD_OUT = 0.3
"""Share of the items that a probe is tested on."""

RIDGE = 0.01
"""Penalty per item, on numbers of deviation 1."""

ITEMS = 2000
"""How many are compared at most."""


def probe_layers(cache: HiddenStateCache, labels: Mapping[str, str], *, seed: int = 0) -> pl.DataFrame:
    """Accuracy of a ridge classifier on each cached layer, on held-out items; `layer`, `accuracy`, `chance`.

    labels  item id → value of the property; items without one, or without states, are left out

    `chance` is the share of the most frequent value. The probe is in closed form, so nothing about it is tuned and
    layers can be compared. Raises `RefusedError` where fewer than two values or ten items have labels.
    """
    known = [item_id for item_id in labels if item_id not in set(cache.absent)]
    values = sorted({labels[item_id] for item_id in known})
    if len(values) < 2 or len(known) < 10:
        raise RefusedError(
            f"a probe needs at least two values on ten items with states; found {len(values)} on {len(known)}"
        )
    classes = torch.tensor([values.index(labels[item_id]) for item_id in known])
    states = cache.gather(cache.rows(known)).float().split(list(cache.manifest.widths), dim=1)
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))
    held_out, fitted = order.split([round(HELD_OUT * len(known)), len(known) - round(HELD_OUT * len(known))])
    chance = torch.bincount(classes[held_out]).max().item() / len(held_out)
    accuracies = [_accuracy(layer, classes, fitted=fitted, held_out=held_out) for layer in states]
    rows = zip(cache.manifest.layers, accuracies, strict=True)
    return pl.DataFrame([{"layer": layer, "accuracy": accuracy, "chance": chance} for layer, accuracy in rows])


def _accuracy(states: Tensor, classes: Tensor, *, fitted: Tensor, held_out: Tensor) -> float:
    """States [n, D] and classes [n] → share of the held-out items whose class the fitted ones foretell."""
    mean, deviation = states[fitted].mean(dim=0), states[fitted].std(dim=0).clamp_min(1e-6)
    x = F.pad((states - mean) / deviation, (0, 1), value=1.0)  # [n, D + 1]
    targets = F.one_hot(classes).float()
    penalty = RIDGE * len(fitted) * torch.eye(x.shape[1])
    weights = torch.linalg.solve(x[fitted].T @ x[fitted] + penalty, x[fitted].T @ targets[fitted])
    found = (x[held_out] @ weights).argmax(dim=1)
    return (found == classes[held_out]).float().mean().item()


def layer_similarity(cache: HiddenStateCache, other: HiddenStateCache | None = None, *, seed: int = 0) -> Tensor:
    """Linear CKA between the layers of a cache, or of two caches of one catalogue: [L, L'], 0 to 1.

    It compares how layers arrange the items, so widths may differ. At most 2,000 items with states are used. A layer
    that is the same for every item arranges nothing and is like no other (0).
    """
    other = other or cache
    missing = {*cache.absent, *other.absent}
    shared = [item_id for item_id in dict.fromkeys(cache.item_ids) if item_id not in missing]
    order = torch.randperm(len(shared), generator=torch.Generator().manual_seed(seed))[:ITEMS]
    item_ids = [shared[number] for number in order.tolist()]
    ours, theirs = (_layers(each, item_ids) for each in (cache, other))
    return torch.stack([torch.stack([_cka(a, b) for b in theirs]) for a in ours])


def _layers(cache: HiddenStateCache, item_ids: list[str]) -> list[Tensor]:
    """Each layer's states of the items, centred: [n, D_l]."""
    states = cache.gather(cache.rows(item_ids)).float()
    return [layer - layer.mean(dim=0) for layer in states.split(list(cache.manifest.widths), dim=1)]


def _cka(a: Tensor, b: Tensor) -> Tensor:
    """Centred states [n, D] and [n, D'] → their alignment."""
    norm = (a.T @ a).norm() * (b.T @ b).norm()
    return (a.T @ b).square().sum() / norm if norm > 1e-6 else torch.zeros(())
