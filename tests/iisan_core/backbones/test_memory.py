"""Peak memory of an extraction does not grow with layers kept × tokens."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from app.planning.memory_tracker import MemoryTracker
from iisan_core.backbones.base import Backbone
from iisan_core.backbones.loading import load_backbone

from .tiny_models import tiny_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS, WIDTH, ITEMS, TOKENS = 40, 32, 4, 256
STATE = ITEMS * TOKENS * WIDTH * 4
"""Bytes of one layer's hidden states."""


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A decoder of 40 layers."""
    folder = tmp_path_factory.mktemp("deep")
    torch.manual_seed(0)
    shape = {"hidden_size": WIDTH, "intermediate_size": 48, "num_attention_heads": 2, "num_hidden_layers": LAYERS}
    LlamaModel(LlamaConfig(vocab_size=14, **shape)).save_pretrained(folder)
    tiny_tokenizer(padding_side="left").save_pretrained(folder)
    return load_backbone(folder, "text")


def inputs() -> dict[str, torch.Tensor]:
    ids = torch.randint(4, 14, (ITEMS, TOKENS), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def peak_of_encoding(backbone: Backbone, layers: Sequence[int]) -> int:
    tensors = inputs()
    with MemoryTracker() as live:
        backbone.encode(tensors, layers=layers, pooling="mean")
    return live.peak


def test_peak_memory_does_not_grow_with_layers_kept(deep: Backbone) -> None:
    few, many = peak_of_encoding(deep, [0, LAYERS]), peak_of_encoding(deep, range(LAYERS + 1))
    pooled = (LAYERS + 1) * ITEMS * WIDTH * 4
    assert few > 2 * STATE, "the count does see hidden states"
    assert many - few <= 2 * pooled  # the vectors, and the one tensor that they are put together in
    assert pooled < STATE / 4


def test_all_hidden_states_at_once_would_be_seen(deep: Backbone) -> None:
    with MemoryTracker() as live, torch.inference_mode():
        deep.model(**inputs(), output_hidden_states=True)
    assert live.peak > peak_of_encoding(deep, range(LAYERS + 1)) + (LAYERS - 4) * STATE


def test_no_logits_and_no_keys_are_computed(deep: Backbone) -> None:
    assert not any("head" in name for name, _ in deep.model.named_modules())
    assert deep.model.config.use_cache is False


def test_the_count_of_live_bytes_counts() -> None:
    with MemoryTracker() as live:
        first = torch.ones(1000)
        del first
        second = torch.ones(500)
        third = second.view(5, 100)
    assert (live.peak, live.now) == (4000, 2000)
    assert third.shape == (5, 100)


def test_nothing_is_left_after_encoding(deep: Backbone) -> None:
    tensors = inputs()
    with MemoryTracker() as live:
        states = deep.encode(tensors, layers=range(LAYERS + 1), pooling="last")
    assert live.now <= 2 * states.numel() * 4
