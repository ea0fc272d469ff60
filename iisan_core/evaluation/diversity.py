"""Intra-list diversity by frozen states: read in blocks of users, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from iisan_core.evaluation.beyond import Top, diversity
from iisan_core.evaluation.metrics import Values
from iisan_core.model.inputs import ROWS_AT_ONCE, Rows

BLOCK_BYTES = 2**26
"""Vectors of lists that are held at once."""


@torch.no_grad()
def frozen_diversity(
    top: Top, states: Mapping[str, Rows], present: Mapping[str, Tensor], *, widths: Mapping[str, Sequence[int]]
) -> Values | None:
    """Diversity of each list, [V]: the mean over the modalities in which it has one; None where there is no modality.

    An item's vector is its last cached layer, centred over the catalogue, so that two items drawn at random are about 1
    apart; a modality that an item lacks puts it in no pair.

    top      [V, k]  item numbers; 0 pads
    states   modality → all cached layers of item `n` at row `n − 1`, [N, ΣD]
    present  modality → bool [N]
    widths   modality → width of each cached layer
    """
    if not states or not top.size:
        return None
    found = np.stack([_by_modality(top, states[m], present[m], columns=_last(widths[m])) for m in states])
    known = (~np.isnan(found)).sum(axis=0)
    return np.divide(np.nansum(found, axis=0), known, out=np.full(len(top), np.nan), where=known > 0)


def _last(widths: Sequence[int]) -> slice:
    return slice(sum(widths) - widths[-1], sum(widths))


def _by_modality(top: Top, states: Rows, present: Tensor, *, columns: slice) -> Values:
    """[V]; of a block of lists each different item is read once."""
    mean = _mean(states, present, columns)
    size = max(1, BLOCK_BYTES // (4 * top.shape[1] * (columns.stop - columns.start)))
    values = []
    for start in range(0, len(top), size):
        block = top[start : start + size]
        numbers, places = np.unique(block, return_inverse=True)
        rows = torch.from_numpy(np.maximum(numbers - 1, 0)).to(present.device)
        units = F.normalize(states[rows][:, columns].float() - mean, dim=1) * present[rows].unsqueeze(1)
        vectors = units.cpu().numpy()
        vectors[numbers == 0] = 0  # padding
        values.append(diversity(vectors[places.reshape(block.shape)]))
    return np.concatenate(values)


def _mean(states: Rows, present: Tensor, columns: slice) -> Tensor:
    """[D], over the items that have the modality."""
    rows = present.nonzero().squeeze(1)
    total = torch.zeros(columns.stop - columns.start, dtype=torch.float64, device=present.device)
    for block in rows.split(ROWS_AT_ONCE):
        total += states[block][:, columns].double().sum(dim=0)
    return (total / max(1, len(rows))).float()
