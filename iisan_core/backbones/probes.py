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
"""An eighth of what float16 holds: where a few short inputs reach it, some item of a catalogue will leave that range."""

WIDE_RANGE = ("gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "t5gemma2", "t5gemma2_encoder")
"""Model types known for states that float16 does not hold."""

FAILURES = (RuntimeError, ValueError, IndexError, TypeError, KeyError, AttributeError, AssertionError)
"""What models raise that cannot take their inputs so."""


def agree(ours: Tensor, theirs: Tensor, widths: Iterable[int], *, precision: Precision) -> bool:
    """Whether states `[ΣD]` of layers of `widths` are the same but for rounding; numbers not finite are not compared."""
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
    """For how many tokens a model has positions; None where they have no end, or nothing says where.

    Where positions are numbered from behind the padding token's (RoBERTa and its kin), the first ones are never used.
    """
    config = getattr(model, "config", None)
    names = ("max_position_embeddings", "n_positions", "max_encoder_position_embeddings", "max_seq_len", "seq_length")
    most = next((value for name in names if isinstance(value := getattr(config, name, None), int) and value > 0), None)
    if most is None or getattr(config, "relative_attention", False) or getattr(config, "model_type", "") in ENDLESS:
        return None
    for name, module in model.named_modules():
        is_table = isinstance(module, nn.Embedding) and "position" in name.rpartition(".")[2]
        if is_table and module.padding_idx is not None and module.num_embeddings == most:
            return most - module.padding_idx - 1
    return most


ENDLESS = {"t5", "mt5", "umt5", "longt5", "switch_transformers", "xlnet", "udop"}
"""Model types with relative positions alone, whatever their configuration says."""


FIRST_TOKENS = {
    "cls_token",
    "class_token",
    "class_embedding",
    "distillation_token",
    "dist_token",
    "register_tokens",
}
"""Names of the learned vectors that stand before the patches, where a model has any."""


def tokens_before_patches(model: nn.Module) -> int:
    """How many class, distillation and register tokens a vision model puts before a picture's patches."""
    found = [weight for name, weight in model.named_parameters() if name.rpartition(".")[2] in FIRST_TOKENS]
    return sum(weight.shape[-2] if weight.dim() > 1 else 1 for weight in found)
