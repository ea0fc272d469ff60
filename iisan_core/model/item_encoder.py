"""From cached hidden states to item vectors: a tower per modality, a head per tower, one fusion.

IISAN, section 3; method, section 3. The towers are side-adapted networks (`san.py`) or, as baselines, the last layer
alone; a vector per item that only interactions shape can be added (SASRec's own), or stand alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iisan_core.config.schema import IDS, INTER, Head, ModelConfig
from iisan_core.errors import RefusedError
from iisan_core.model.frozen import FrozenEncoder
from iisan_core.model.inputs import MissingEmbedding, Rows, Standardize, arithmetic_dtype, drop_modalities, widened
from iisan_core.model.san import ACTIVATIONS, InterSAN, IntraSAN

ID_STD = 0.02
"""Deviation of id vectors at the start."""


class ItemEncoder(nn.Module):
    """One tower per modality, one inter SAN over all; each state goes through a head, then they fuse.

    Args:
        widths: Modality, in fusion order → width of every cached layer, as the manifests give them.
        config: The shape of the rest.
        kept: Modality → numbers of the cached layers that are read; all where it names none.
        missing: Modalities that some items lack; each gets an embedding that replaces what is missing.
        items: N, where `config.ids` gives each item a vector of its own, which is added to the fused one; without
            modalities it is all that there is.
    """

    def __init__(
        self,
        *,
        widths: Mapping[str, Sequence[int]],
        config: ModelConfig,
        kept: Mapping[str, Sequence[int]] | None = None,
        missing: Collection[str] = (),
        items: int = 0,
    ) -> None:
        super().__init__()
        self.widths = {name: list(w) for name, w in widths.items()}
        chosen = {name: list((kept or {}).get(name, range(len(w)))) for name, w in widths.items()}
        self.kept = {name: numbers if config.adapter == "san" else numbers[-1:] for name, numbers in chosen.items()}
        self.modality_dropout = config.dropout_for(missing)
        E = config.embedding  # noqa: N806
        read = {name: [w[layer] for layer in self.kept[name]] for name, w in self.widths.items()}
        towers = {name: _tower(name, read, config) for name in config.towers(list(widths))}
        self.towers = nn.ModuleDict(towers)
        self.heads = nn.ModuleDict(
            {name: make_head(config.head, tower=name, width=t.width, embedding=E) for name, t in towers.items()}
        )
        self.fusion = nn.Linear(len(towers) * E, E) if towers else None
        if self.fusion is not None:
            init_linear(self.fusion, scale=config.initial_scale)
        self.ids = IdVectors(items=items, width=E) if config.ids else None
        self.standardize = nn.ModuleDict(
            {name: Standardize(width=sum(w)) for name, w in widths.items() if config.standardize}
        )
        self.frozen = _frozen(self.widths, config) if config.frozen and widths else None
        self.stand_ins = nn.ModuleDict(  # so called in files of weights
            {name: MissingEmbedding(width=sum(widths[name])) for name in widths if name in missing}
        )

    def fit_scale(self, states: Mapping[str, Rows], present: Mapping[str, Tensor]) -> None:
        """Measure the catalogue, modality → [N, ΣD] and bool [N], where the configuration standardizes."""
        for name, module in self.standardize.items():
            module.fit(states[name], present[name])  # type: ignore[operator]
        if self.frozen is not None:
            self.frozen.fit(states, present)

    def forward(self, states: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """Modality → states [n, ΣD] (any float dtype) and presence bool [n] → item vectors [n, E].

        A model with ids reads the item numbers int64 [n] from `states["ids"]`; 0 stands for an item without one. With
        a frozen path its columns follow: [n, E + F].
        """
        learned = self._learned(states, present)
        if self.frozen is None:
            return learned
        return torch.cat([learned.float(), self.frozen(states, present)], dim=1)

    def _learned(self, states: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """[n, E]."""
        own = self.ids(states[IDS]) if self.ids is not None else None
        if self.fusion is None:
            assert own is not None, "the configuration demands modalities or ids"
            return own
        fused = self.fusion(torch.cat(list(self._embeddings(states, present).values()), dim=1))
        return fused if own is None else fused + own

    def contributions(self, states: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What each tower and the ids add to the item vectors, name → [n, E]; with `bias` they sum to `forward`."""
        added = {}
        if self.fusion is not None:
            embeddings = self._embeddings(states, present)
            weights = self.fusion.weight.chunk(len(embeddings), dim=1)
            added = {name: e @ w.T for (name, e), w in zip(embeddings.items(), weights, strict=True)}
        return added if self.ids is None else added | {IDS: self.ids(states[IDS])}

    @property
    def bias(self) -> Tensor:
        """[E]: the same in every item vector."""
        if self.fusion is not None:
            return self.fusion.bias
        assert self.ids is not None, "the configuration demands modalities or ids"
        return torch.zeros_like(self.ids.vectors.weight[0])

    def _embeddings(self, states: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tower → [n, E], before the fusion."""
        if self.training and self.modality_dropout > 0:
            present = drop_modalities(present, rate=self.modality_dropout)
        layers = {name: self._layers(name, states[name], present) for name in self.widths}
        return {
            name: self.heads[name](tower(layers if name == INTER else layers[name]))
            for name, tower in self.towers.items()
        }

    def _layers(self, name: str, states: Tensor, present: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Cached rows [n, ΣD] → kept layers, each [n, D_l], in the precision of the arithmetic.

        Layer by layer: nothing is done to those that nobody reads, and each is contiguous, as the products like it.
        """
        assert self.fusion is not None, "where there are towers, they are fused"
        dtype = arithmetic_dtype(self.fusion.weight)
        layers = []
        for number in self.kept[name]:
            columns = _columns(self.widths[name], number)
            layer = states[:, columns]
            if name in self.standardize:
                layer = self.standardize[name](layer.float(), columns)
            if name in self.stand_ins:
                layer = self.stand_ins[name](layer, present[name], columns)
            layers.append(widened(layer, dtype))
        return tuple(layers)


def _tower(name: str, widths: Mapping[str, Sequence[int]], config: ModelConfig) -> Adapter | InterSAN:
    r, activation = config.bottlenecks.get(name, config.bottleneck), config.activation
    tower: Adapter | InterSAN
    if name == INTER:
        r = config.inter_bottleneck or r
        tower = InterSAN(widths=widths, bottleneck=r, activation=activation, transformation=config.transformation)
    else:
        tower = ADAPTERS[config.adapter](widths=widths[name], bottleneck=r, activation=activation)
    if config.gates == "even" and isinstance(tower, IntraSAN | InterSAN):
        tower.gate.requires_grad_(False)  # where a gate starts, it weighs evenly
    return tower


def _frozen(widths: Mapping[str, Sequence[int]], config: ModelConfig) -> FrozenEncoder:
    layers = {name: config.frozen_layers.get(name, len(w) - 1) for name, w in widths.items()}
    for name, layer in layers.items():
        if not 0 <= layer < len(widths[name]):
            raise RefusedError(
                f"model.frozen_layers names layer {layer} of {name}; its cache has the layers 0 to "
                f"{len(widths[name]) - 1}"
            )
    return FrozenEncoder(widths=widths, layers=layers, width=config.frozen_width, whitening=config.frozen_whitening)


def _columns(widths: Sequence[int], number: int) -> slice:
    """Where a layer lies in a row of all cached layers."""
    start = sum(widths[:number])
    return slice(start, start + widths[number])


class LastLayer(nn.Module):
    """The last kept layer as it is; with a linear head the plainest use of a frozen encoder."""

    def __init__(self, *, widths: Sequence[int], bottleneck: int, activation: str) -> None:
        super().__init__()
        self.width = widths[-1]

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Kept layers, each [n, D_l] → the last, [n, D]."""
        return layers[-1]


class LastLayerMLP(nn.Module):
    """The last kept layer through one hidden layer of its own width."""

    def __init__(self, *, widths: Sequence[int], bottleneck: int, activation: str) -> None:
        super().__init__()
        self.width = widths[-1]
        self.hidden = nn.Linear(self.width, self.width)
        self.activation = ACTIVATIONS[activation]
        init_linear(self.hidden)

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Kept layers, each [n, D_l] → [n, D]."""
        return self.activation(self.hidden(layers[-1]))


Adapter: TypeAlias = IntraSAN | LastLayer | LastLayerMLP
ADAPTERS: dict[str, type[IntraSAN] | type[LastLayer] | type[LastLayerMLP]] = {
    "san": IntraSAN,
    "linear": LastLayer,
    "mlp": LastLayerMLP,
}
"""By `model.adapter`."""


class StackedHead(nn.Module):
    """The released programs' head, two linears `D → hidden → E` without activation between; `hidden` is D or E.

    Two linears in a row are one: the product of the weights is formed once per call ([E, hidden] · [hidden, D]), which
    is far cheaper than sending every item through the wide one, and has the same gradients.
    """

    def __init__(self, *, width: int, hidden: int, embedding: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, embedding)

    def forward(self, x: Tensor) -> Tensor:
        """[n, D] → [n, E]."""
        weight = self.outer.weight @ self.inner.weight
        bias = F.linear(self.inner.bias, self.outer.weight, self.outer.bias)
        return F.linear(x, weight, bias)


def make_head(kind: Head, *, tower: str, width: int, embedding: int) -> nn.Module:
    """The head of a tower, by `model.head`; Xavier-normal weights and zero biases."""
    head: nn.Linear | StackedHead
    if kind == "linear":
        head = nn.Linear(width, embedding)
    else:
        hidden = embedding if kind == "stacked-versa" and tower != INTER else width
        head = StackedHead(width=width, hidden=hidden, embedding=embedding)
    for module in head.modules():
        if isinstance(module, nn.Linear):
            init_linear(module)
    return head


def init_linear(linear: nn.Linear, *, scale: float = 1.0) -> None:
    """Xavier-normal weight times `scale`, zero bias (method, section 4)."""
    nn.init.xavier_normal_(linear.weight, gain=scale)
    nn.init.zeros_(linear.bias)


class IdVectors(nn.Module):
    """One learned vector for each of `items` items; number 0, an item unknown in training, has zeros."""

    def __init__(self, *, items: int, width: int) -> None:
        super().__init__()
        if items < 1:
            raise RefusedError("a model with ids needs to know how many items there are; found 0")
        self.vectors = nn.Embedding(items + 1, width, padding_idx=0)
        nn.init.normal_(self.vectors.weight[1:], std=ID_STD)

    def forward(self, numbers: Tensor) -> Tensor:
        """Item numbers int64 [n] → [n, E]."""
        out: Tensor = self.vectors(numbers)
        return out
