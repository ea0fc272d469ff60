"""The frozen path: what cached states say of items as they are, beside what the side networks make of them.

Method, section 8. `f(i)` is one cached layer of item `i`, centred over the catalogue, its directions brought nearer to
one weight, and of unit length. An item's part of a score is `⟨Σ_a w_a f(h_a), f(i)⟩`, where `h_a` is the history's item
of age `a` (0 is the newest) and `w` is learned, one row per modality. That is an inner product, so item vectors and
user states are merely wider: `E` learned columns, then each modality's frozen ones. An item that lacks a modality has
zeros there, and no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
import torch
from scipy import linalg
from torch import Tensor, nn
from torch.nn import functional as F

from iisan_core.model.inputs import ROWS_AT_ONCE, Rows

START = 2.0
"""Weight of the newest item at the start; the next older has `FADING` times as much, and so on."""

FADING = 0.6

MOST_MEASURED = 2**16
"""Items on which directions are measured: of more, evenly spaced ones."""

LEAST = 1e-8
"""Second moments below this are taken for it: what no vector holds is not blown up."""


class FrozenVectors(nn.Module):
    """`f` of one modality: a cached layer, centred, in the `width` directions that hold most of it, of unit length.

    A few directions hold most of what states have in common, so that they drown the others in a product: each is
    divided by the power `whitening` of its second moment (0 leaves them as they are, 0.5 makes all alike). Mean and
    directions belong to the model, so that items added later are treated alike.
    """

    mean: Tensor
    directions: Tensor

    def __init__(self, *, columns: slice, width: int, whitening: float) -> None:
        super().__init__()
        self.columns = columns
        self.width = width
        self.whitening = whitening
        self.register_buffer("mean", torch.zeros(columns.stop - columns.start))
        self.register_buffer("directions", torch.zeros(columns.stop - columns.start, width))

    def forward(self, states: Tensor, present: Tensor) -> Tensor:
        """All cached layers [n, ΣD] and presence [n] → float32 [n, width]; zeros where absent."""
        with torch.autocast(states.device.type, enabled=False):
            vectors = F.normalize(self._unit(states) @ self.directions, dim=1)
        return vectors.where(present.unsqueeze(1), 0)

    @torch.no_grad()
    def fit(self, states: Rows, present: Tensor) -> None:
        """Measure the catalogue: states [N, ΣD] in any precision, of which rows with `present` [N] count."""
        rows = present.nonzero().squeeze(1)
        rows = rows[:: max(1, len(rows) // MOST_MEASURED)]
        total = torch.zeros_like(self.mean, dtype=torch.float64)
        for block in rows.split(ROWS_AT_ONCE):
            total += states[block][:, self.columns].double().sum(dim=0)
        self.mean.copy_(total / max(1, len(rows)))
        moment = torch.zeros(len(total), len(total), dtype=torch.float64)
        for block in rows.split(ROWS_AT_ONCE):
            unit = self._unit(states[block])
            moment += (unit.T @ unit).double().cpu()
        self.directions.copy_(_directions(moment / max(1, len(rows)), self.width, whitening=self.whitening))

    def _unit(self, states: Tensor) -> Tensor:
        return F.normalize(states[:, self.columns].float() - self.mean, dim=1)


def _directions(moment: Tensor, width: int, *, whitening: float) -> Tensor:
    """The `width` directions [D, width] that most of the vectors with this second moment [D, D] lies in, weighed.

    A direction's sign is free: its largest entry is made positive, so that one catalogue has one `f`.
    """
    D = len(moment)  # noqa: N806
    values, vectors = linalg.eigh(moment.numpy(), subset_by_index=[D - width, D - 1])
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    weights = np.maximum(values, LEAST) ** -whitening * np.sign(largest[0])
    return torch.from_numpy((vectors * weights)[:, ::-1].copy())


class FrozenEncoder(nn.Module):
    """`f` of every modality, side by side.

    Args:
        widths: Modality → width of every cached layer.
        layers: Modality → the number of the layer that is read.
        width: The most columns of a modality.
        whitening: How far directions are brought to one weight, 0 to 0.5.
    """

    def __init__(
        self, *, widths: Mapping[str, Sequence[int]], layers: Mapping[str, int], width: int, whitening: float
    ) -> None:
        super().__init__()
        self.vectors = nn.ModuleDict()
        for name, of_layers in widths.items():
            start = sum(of_layers[: layers[name]])
            columns = slice(start, start + of_layers[layers[name]])
            most = min(width, of_layers[layers[name]])
            self.vectors[name] = FrozenVectors(columns=columns, width=most, whitening=whitening)

    @property
    def widths(self) -> dict[str, int]:
        """Modality → how many columns it has."""
        return {name: module.width for name, module in self.vectors.items()}  # type: ignore[misc]

    def columns(self, *, after: int) -> dict[str, slice]:
        """Modality → where its columns lie in item vectors and user states, behind `after` others."""
        ends = list(accumulate(self.widths.values(), initial=after))
        return {name: slice(*ends[n : n + 2]) for n, name in enumerate(self.widths)}

    def forward(self, states: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """Modality → states [n, ΣD] and presence bool [n] → float32 [n, F], F the columns of all modalities."""
        return torch.cat([module(states[name], present[name]) for name, module in self.vectors.items()], dim=1)

    def fit(self, states: Mapping[str, Rows], present: Mapping[str, Tensor]) -> None:
        """Measure the catalogue: modality → [N, ΣD] and bool [N]."""
        for name, module in self.vectors.items():
            module.fit(states[name], present[name])  # type: ignore[operator]


class FrozenProfile(nn.Module):
    """The user's side: frozen vectors of the newest `ages` items of a history, weighed by age and modality."""

    def __init__(self, *, widths: Mapping[str, int], ages: int) -> None:
        super().__init__()
        self.widths = dict(widths)
        start = START * FADING ** torch.arange(ages)
        self.weight = nn.ParameterDict({name: nn.Parameter(start.clone()) for name in widths})

    def forward(self, items: Tensor, real: Tensor) -> Tensor:
        """Frozen vectors [B, S, F] and real positions bool [B, S], padding on the left → profiles [B, S, F].

        The profile at position `t` holds items at positions `≤ t` only.
        """
        items = items * real.unsqueeze(2)
        profile = torch.zeros_like(items)
        for age, weights in enumerate(self._by_column()[: items.shape[1]]):
            profile = profile + F.pad(items * weights, (0, 0, age, 0))[:, : items.shape[1]]
        return profile

    def newest(self, items: Tensor, real: Tensor) -> Tensor:
        """The profile at the last position only, [B, F]."""
        weights = self._by_column()[: items.shape[1]].flip(0)  # oldest first, as the items are
        newest = (items * real.unsqueeze(2))[:, items.shape[1] - len(weights) :]
        return torch.einsum("bsf,sf->bf", newest, weights)

    def _by_column(self) -> Tensor:
        """Each column's weight at every age, [ages, F]."""
        return torch.cat([self.weight[name].unsqueeze(1).expand(-1, w) for name, w in self.widths.items()], dim=1)
