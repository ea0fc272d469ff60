"""Item vectors as a run keeps them: whole, split over the towers that made them (method, section 3), and whose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from iisan_core.config.schema import IDS, INTER
from iisan_core.errors import RefusedError
from iisan_core.files import replacing, sha256_of_texts
from iisan_core.model.inference import BIAS, Contributions
from iisan_core.runs.run_folder import RunFolder


def save_vectors(folder: RunFolder, table: Tensor, *, item_ids: Sequence[str]) -> None:
    """Write item vectors [N + 1, E], and the ids of items 1 … N."""
    with replacing(folder.item_ids) as path:
        pl.DataFrame({"item_id": item_ids}, schema={"item_id": pl.String}).write_parquet(path)
    with replacing(folder.item_vectors) as path:
        save_file({"items": table.cpu()}, path, {"item_ids": sha256_of_texts(item_ids)})


def read_item_ids(folder: RunFolder) -> list[str] | None:
    """The ids of items 1 … N; None for a run made before they were kept.

    Raises `RefusedError` where the file holds something else.
    """
    if not folder.item_ids.is_file():
        return None
    try:
        return pl.read_parquet(folder.item_ids)["item_id"].cast(pl.String).to_list()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RefusedError(f"{folder.item_ids} holds no item ids ({error}); train again") from None


def read_vectors(folder: RunFolder) -> tuple[Tensor, str]:
    """Item vectors [N + 1, E], and the hash of the item ids that they belong to.

    Raises `RefusedError` where there is no such file, or it holds something else.
    """
    path = folder.item_vectors
    if not path.is_file():
        raise RefusedError(f"no item vectors at {path}; let the run finish, or go on with `iisan resume`")
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor("items"), (file.metadata() or {}).get("item_ids", "")
    except SafetensorError as error:
        raise RefusedError(f"{path} holds no item vectors ({error}); train again") from None


def save_parts(parts: Contributions, path: Path, *, item_ids: Sequence[str]) -> None:
    """Write a safetensors file: one tensor per tower, the bias, and the hash of the item ids."""
    tensors = {name: tensor.cpu() for name, tensor in (parts.towers | {BIAS: parts.bias}).items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"item_ids": sha256_of_texts(list(item_ids))})


def load_parts(path: Path, *, table: Tensor, item_ids: Sequence[str]) -> Contributions:
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
    return Contributions({name: tensors[name] for name in in_order}, bias)
