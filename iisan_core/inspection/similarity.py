"""How alike layers are: linear centred kernel alignment (Kornblith et al., 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from iisan_core.cache.store import HiddenStateCache

ITEMS = 2000


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
