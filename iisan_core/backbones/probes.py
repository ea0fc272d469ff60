"""What is tried once at load, so that a model of any architecture that gives other states than alone is found.

Every probe compares pooled states of all layers of one input, computed in two ways. What differs is not mended here:
the backbone then gives the model its inputs in another way, or refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

import torch
from torch import Tensor, nn

from iisan_core.config.schema import Precision

Made = TypeVar("Made")

TOLERANCE: dict[Precision, float] = {"float32": 1e-4, "bfloat16": 0.05}
"""How far, relative to their length, states may lie apart that differ by rounding only."""

LARGE_STATE = 8192.0
"""An eighth of what float16 holds: where a short input reaches it, some item of a catalogue will leave that range."""

WIDE_RANGE = ("gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "t5gemma2", "t5gemma2_encoder")
"""Model types known for states that float16 does not hold."""

FAILURES = (RuntimeError, ValueError, IndexError, TypeError, KeyError, AttributeError, AssertionError)
"""What models raise that cannot take their inputs so."""


def agree(ours: Tensor, theirs: Tensor, widths: Iterable[int], *, precision: Precision) -> bool:
    """Whether states `[ΣD]` of layers of `widths` are the same but for rounding; what is not finite is not compared."""
    pairs = zip(ours.float().split(list(widths)), theirs.float().split(list(widths)), strict=True)
    return all(_close(a, b, TOLERANCE[precision]) for a, b in pairs)


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    if not (a.isfinite().all() and b.isfinite().all()):
        return torch.equal(a.isfinite(), b.isfinite())
    return bool((a - b).norm() <= tolerance * b.norm() + 1e-6)


def attempt(run: Callable[[], Made]) -> Made | None:
    """What `run` makes; None where the model cannot take its input so."""
    with suppress(*FAILURES):
        return run()
    return None


def most_tokens(model: nn.Module) -> int | None:
    """For how many tokens a model has learned or tabled positions; None where positions have no end.

    Where they are numbered from behind the padding token's (RoBERTa and its kin), the first ones are never used.
    """
    config = getattr(model, "config", None)
    names = ("max_position_embeddings", "n_positions", "max_encoder_position_embeddings")
    most = next((value for name in names if isinstance(value := getattr(config, name, None), int) and value > 0), None)
    for name, table in model.named_modules():
        place = name.rpartition(".")[2]
        if not most or not isinstance(table, nn.Embedding) or not ("position" in place or place == "wpe"):
            continue
        if table.num_embeddings >= most:  # a smaller one is of another tower's patches
            skipped = table.padding_idx if table.num_embeddings == most else None
            return most if skipped is None else most - skipped - 1
    return None


def tokens_apart(ours: Tensor, theirs: Tensor) -> tuple[int, int]:
    """How many tokens at the start and at the end of an embedding output `[1, T, D]` two inputs have in common.

    They are learned vectors – class, distillation, register and detection tokens –, for whatever comes from the inputs
    differs.
    """
    if ours.dim() != 3 or ours.shape != theirs.shape:
        return 0, 0
    same = torch.isclose(ours[0], theirs[0], rtol=1e-4, atol=1e-6).all(dim=1).tolist()
    if all(same):
        return 0, 0
    return same.index(False), same[::-1].index(False)
