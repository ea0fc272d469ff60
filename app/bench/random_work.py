"""Work of a given size without any data or weights: sequences shaped like a shop's log, random states and backbones.

Random backbones cost what real ones cost, and nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

from iisan_core.backbones.base import Backbone, Source
from iisan_core.backbones.text import TextBackbone
from iisan_core.backbones.vision import ImageBackbone
from iisan_core.config.schema import ModelConfig
from iisan_core.data.split import Split
from iisan_core.finetuning.inputs import InputBank, PreparedInputs
from iisan_core.model.recommender import ModelShape
from iisan_core.training.inputs import model_shape
from iisan_core.training.states import ItemStates, States

LENGTHS = np.arange(5, 14)

LENGTH_SHARES = 0.62 ** np.arange(len(LENGTHS))
"""Kept interactions of a user; the mean is about 6.6, Amazon Scientific's is 6.8."""

POPULARITY_EXPONENT = 0.6

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{n}" for n in range(96))]

HEAD_WIDTH = 64

POOL = 64
"""Different items whose inputs are made up; further items have those of an earlier one."""


@dataclass(frozen=True)
class Size:
    """How large the work is; by default Amazon Scientific with BERT-base and ViT-base states."""

    items: int = 20_314
    users: int = 12_076
    layers: int = 7
    text_width: int = 768
    image_width: int = 768
    max_history: int = 10

    @property
    def widths(self) -> dict[str, tuple[int, ...]]:
        """Width of each kept layer by modality."""
        return {"image": (self.image_width,) * self.layers, "text": (self.text_width,) * self.layers}

    def shape(self, config: ModelConfig) -> ModelShape:
        """The model for it."""
        return model_shape(config, widths=self.widths, missing=(), max_history=self.max_history, items=self.items)


def random_split(size: Size, *, seed: int = 0) -> Split:
    """Left-padded sequences with a skewed popularity."""
    rng = np.random.default_rng(seed)
    keep = size.max_history + 3
    lengths = rng.choice(LENGTHS, size=size.users, p=LENGTH_SHARES / LENGTH_SHARES.sum()).clip(max=keep)
    weights = np.arange(1, size.items + 1) ** -POPULARITY_EXPONENT
    sequences = rng.choice(size.items, size=(size.users, keep), p=weights / weights.sum()) + 1
    sequences[np.arange(keep) < keep - lengths[:, None]] = 0
    ids = [str(n) for n in range(1, size.items + 1)]
    return Split.of_sequences(sequences, item_ids=ids, max_history=size.max_history)


def random_bank(size: Size, *, seed: int = 0) -> ItemStates:
    """Random states of all its items."""
    torch.manual_seed(seed)
    return random_states(size.widths, items=size.items)


def random_states(widths: Mapping[str, Sequence[int]], *, items: int) -> ItemStates:
    """Standard-normal states in float16, nothing missing; `widths` of each kept layer by modality."""
    # drawn in place: a measurement of memory should not see a copy in float32
    states: dict[str, States] = {
        n: torch.empty(items, sum(w), dtype=torch.float16).normal_() for n, w in widths.items()
    }
    present = {name: torch.ones(items, dtype=torch.bool) for name in widths}
    return ItemStates(states, present, {n: list(w) for n, w in widths.items()}, numbers=torch.arange(1, items + 1))


@dataclass(frozen=True)
class BackboneSizes:
    """Shapes of a BERT and a ViT; by default the base ones."""

    text_layers: int = 12
    text_width: int = 768
    tokens: int = 30
    image_layers: int = 12
    image_width: int = 768
    image_size: int = 224
    patch: int = 16


def random_backbones(sizes: BackboneSizes, *, seed: int = 0) -> dict[str, Backbone]:
    """An image and a text backbone with weights drawn from `seed`, in fusion order."""
    torch.manual_seed(seed)
    return {"image": _image(sizes), "text": _text(sizes)}


def random_inputs(sizes: BackboneSizes, *, items: int, device: torch.device, seed: int = 0) -> InputBank:
    """Full-length texts and pictures of noise for `items` items."""
    torch.manual_seed(seed)
    ids = torch.randint(len(WORDS), (POOL, sizes.tokens))
    text = _Repeated({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    image = _Repeated({"pixel_values": torch.randn(POOL, 3, sizes.image_size, sizes.image_size)})
    present = {name: torch.ones(items, dtype=torch.bool) for name in ("image", "text")}
    return InputBank({"image": image, "text": text}, present, device)


def random_texts(count: int, *, tokens: Sequence[int], seed: int = 0) -> list[str]:
    """Texts of words that the random tokenizer knows; their lengths, with both ends, repeat `tokens`."""
    torch.manual_seed(seed)
    words = WORDS[4:]
    lengths = [tokens[n % len(tokens)] - 2 for n in range(count)]
    return [" ".join(words[i] for i in torch.randint(len(words), (length,)).tolist()) for length in lengths]


class _Repeated(PreparedInputs):
    def take(self, rows: Tensor) -> dict[str, Tensor]:
        """See `ModelInputs`."""
        return super().take(rows % POOL)


def _text(sizes: BackboneSizes) -> TextBackbone:
    config = BertConfig(**_shape(sizes.text_width, sizes.text_layers))
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(word, WORDS.index(word)) for word in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    return TextBackbone(BertModel(config), Source("random BERT", "", "random"), tokenizer=fast)


def _image(sizes: BackboneSizes) -> ImageBackbone:
    shape = _shape(sizes.image_width, sizes.image_layers)
    config = ViTConfig(image_size=sizes.image_size, patch_size=sizes.patch, **shape)
    processor = ViTImageProcessorPil(size={"height": sizes.image_size, "width": sizes.image_size})
    return ImageBackbone(ViTModel(config), Source("random ViT", "", "random"), processor=processor)


def _shape(width: int, layers: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, width // HEAD_WIDTH),
        "intermediate_size": 4 * width,
    }
