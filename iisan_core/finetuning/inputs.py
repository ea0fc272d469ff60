"""What backbones read, by item: token ids and pixels, prepared once where they fit, else read in every step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from iisan_core.backbones.base import Backbone
from iisan_core.cache.prefetch import ahead
from iisan_core.config.schema import IDS
from iisan_core.errors import IisanError

KEPT_BYTES = 4 * 2**30
"""Prepared pixels of a catalogue up to this size are kept in memory."""

READERS = 4

BATCHES_AHEAD = 2

ITEMS_AT_ONCE = 64
"""A backbone's activations of more items would not fit where its training does."""


class ModelInputs(Protocol):
    """The model inputs of a modality."""

    def take(self, rows: Tensor) -> dict[str, Tensor]:
        """Arguments of the model's forward for the items in `rows` [n], on the CPU; nothing for no rows."""


class PreparedInputs:
    """Inputs of all items in memory, each tensor [N, …]; texts are `cut` to the longest of those taken."""

    def __init__(self, tensors: dict[str, Tensor], *, cut: bool = True) -> None:
        self.tensors = tensors
        self.cut = cut

    def take(self, rows: Tensor) -> dict[str, Tensor]:
        """See `ModelInputs`."""
        if not len(rows):
            return {}
        taken = {name: tensor[rows] for name, tensor in self.tensors.items()}
        if not self.cut or "attention_mask" not in taken:
            return taken
        used = taken["attention_mask"].any(dim=0)  # [T]; padding stands left or right
        return {name: tensor[:, used] for name, tensor in taken.items()}


class PictureFiles:
    """Pictures that are decoded again in every step, for catalogues whose pixels do not fit in memory."""

    def __init__(self, backbone: Backbone, paths: Sequence[Path | None], *, size: int | None) -> None:
        self.backbone = backbone
        self.paths = paths
        self.size = size

    def take(self, rows: Tensor) -> dict[str, Tensor]:
        """See `ModelInputs`; raises `IisanError` for a picture that can no longer be read."""
        paths = [self.paths[row] for row in rows.tolist()]
        return _loaded(self.backbone, paths, size=self.size)


Gathered: TypeAlias = tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]
"""Modality → inputs of its present items (and the item numbers under `ids`), and modality → presence bool [C]."""


@dataclass(frozen=True)
class InputBank:
    """Model inputs of items 1 … N by modality; item number `n` is row `n − 1`.

    To a model that runs its backbones it is what `ItemStates` are to a cached one.
    """

    inputs: dict[str, ModelInputs]
    present: dict[str, Tensor]
    """Each bool [N], on the CPU."""
    device: torch.device
    """Of the model."""

    def gather(self, items: Tensor) -> Gathered:
        """Item numbers [C] on any device, none of them padding → inputs and presence on the model's device."""
        return self._moved(self._taken(items))

    def gathered(self, batches: Iterable[Tensor]) -> Iterator[Gathered]:
        """`gather` for one batch of item numbers after the other; files are read ahead."""
        for _, taken in ahead(batches, self._taken, count=BATCHES_AHEAD):
            yield self._moved(taken)

    def blocks(self, size: int) -> list[Tensor]:
        """All item numbers in blocks of at most `size`, and never more than backbones can take at once."""
        first = next(iter(self.present.values()))
        return list(torch.arange(1, len(first) + 1).split(min(size, ITEMS_AT_ONCE)))

    def _taken(self, items: Tensor) -> Gathered:
        items = items.cpu()
        present = {name: there[items - 1] for name, there in self.present.items()}
        inputs = {name: source.take((items - 1)[present[name]]) for name, source in self.inputs.items()}
        return inputs | {IDS: {"numbers": items}}, present

    def _moved(self, taken: Gathered) -> Gathered:
        inputs, present = taken
        moved = {n: {k: t.to(self.device, non_blocking=True) for k, t in ts.items()} for n, ts in inputs.items()}
        return moved, {name: there.to(self.device, non_blocking=True) for name, there in present.items()}


def prepare(
    backbone: Backbone,
    values: Sequence[Any],
    present: Tensor,
    *,
    size: int | None,
    prompt: str = "",
    kept_bytes: int = KEPT_BYTES,
) -> ModelInputs:
    """Inputs of `values` (texts or paths, None where absent) for `backbone`; `size` in tokens or pixels, as extracted.

    Raises `IisanError` for an input that was readable at extraction (`present`, bool [N]) and is no longer.
    """
    rows = present.nonzero().squeeze(1)
    given = [values[row] for row in rows.tolist()]
    if backbone.modality == "image" and len(given) * _bytes_of_one(backbone, given[:1], size=size) > kept_bytes:
        return PictureFiles(backbone, values, size=size)
    loaded = _loaded(backbone, given, size=size, prompt=prompt)
    tensors = {}
    for name, tensor in loaded.items():
        tensors[name] = tensor.new_zeros(len(values), *tensor.shape[1:])
        tensors[name][rows] = tensor
    return PreparedInputs(tensors, cut=not backbone.needs_padding)


def _bytes_of_one(backbone: Backbone, given: Sequence[Any], *, size: int | None) -> int:
    return sum(tensor.nbytes for tensor in _loaded(backbone, given, size=size).values())


def _loaded(backbone: Backbone, given: Sequence[Any], *, size: int | None, prompt: str = "") -> dict[str, Tensor]:
    """One batch of all that is given, in its order, read as an extraction reads it."""
    if not given:
        return {}
    if backbone.modality == "text":
        return _in_order(backbone, given, size=size, prompt=prompt)
    # Files are decoded outside of Python's lock.
    with ThreadPoolExecutor(READERS) as readers:
        ones = list(readers.map(lambda value: _in_order(backbone, [value], size=size), given))
    return {name: torch.cat([one[name] for one in ones]) for name in ones[0]}


def _in_order(backbone: Backbone, given: Sequence[Any], *, size: int | None, prompt: str = "") -> dict[str, Tensor]:
    loaded = backbone.together(given, size=size, prompt=prompt)
    for position, problem in loaded.problems.items():
        raise IisanError(f"{given[position]}: {problem}; it could be read at extraction, run `iisan extract` again")
    order = torch.tensor(loaded.positions).argsort()
    return {name: tensor[order] for name, tensor in loaded.tensors.items()}
