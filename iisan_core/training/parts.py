"""Item vectors split over the towers that made them, so that scores can be explained (method, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from iisan_core.config import IDS, INTER
from iisan_core.errors import RefusedError
from iisan_core.files import replacing, sha256_of_texts
from iisan_core.model.recommender_model import RecommenderModel
from iisan_core.training.device import arithmetic
from iisan_core.training.evaluation import ITEMS_AT_ONCE
from iisan_core.training.state_bank import StateBank

BIAS = "bias"


@dataclass(frozen=True)
class ItemParts:
    """What each tower, and the ids, add to the item vectors; with the bias, the same for all, the parts sum to them."""

    towers: dict[str, Tensor]
    """Tower → float32 [N + 1, E]; row 0 is padding and zero."""
    bias: Tensor
    """[E]."""


@torch.no_grad()
def item_parts(model: RecommenderModel, bank: StateBank, table: Tensor, *, precision: str) -> ItemParts:
    """The parts of the item vectors [N + 1, E] that `item_table` computed in the same precision.

    What rounding leaves between the vectors and the sum is shared equally among the towers: below the rounding of
    each part, and the sum is exact even in bfloat16.
    """
    model.eval()
    with arithmetic(table.device, precision):
        blocks = [model.items.parts(*gathered) for gathered in bank.gathered(bank.blocks(ITEMS_AT_ONCE))]
    parts = {name: torch.cat([block[name].float() for block in blocks]) for name in blocks[0]}
    bias = model.items.bias.float()
    rest = (table[1:] - bias - torch.stack(list(parts.values())).sum(dim=0)) / len(parts)
    padding = torch.zeros_like(table[:1])
    return ItemParts({name: torch.cat([padding, part + rest]) for name, part in parts.items()}, bias)


def save_parts(parts: ItemParts, path: Path, *, item_ids: Sequence[str]) -> None:
    """Write a safetensors file: one tensor per tower, the bias, and the hash of the item ids."""
    tensors = {name: tensor.cpu() for name, tensor in (parts.towers | {BIAS: parts.bias}).items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"item_ids": sha256_of_texts(list(item_ids))})


def load_parts(path: Path, *, table: Tensor, item_ids: Sequence[str]) -> ItemParts:
    """Read what `save_parts` wrote beside the item vectors [N + 1, E].

    Raises `RefusedError` if the file is absent, broken, or of other item vectors.
    """
    if not path.is_file():
        raise RefusedError(
            f"no parts of the item vectors at {path}: the run was trained before these were kept; train it again to "
            "have its scores explained"
        )
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            of_items = (file.metadata() or {}).get("item_ids", "")
    except SafetensorError as error:
        raise RefusedError(f"{path} holds no parts of item vectors ({error}); train again") from None
    bias = tensors.pop(BIAS, torch.empty(0))
    fits = bias.shape == table.shape[1:] and all(tensor.shape == table.shape for tensor in tensors.values())
    if not tensors or not fits or of_items != sha256_of_texts(list(item_ids)):
        raise RefusedError(f"{path} holds parts of other item vectors than {path.parent} has; train again")
    in_order = sorted(tensors, key=lambda name: (name == INTER, name == IDS, name))  # the file keeps no order
    return ItemParts({name: tensors[name] for name in in_order}, bias)
