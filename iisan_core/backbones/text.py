"""Text backbones: any encoder or decoder that the auto classes load, without its head."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from iisan_core.backbones.base import Backbone, Batch, LoadedBatch, Source
from iisan_core.config.schema import Precision
from iisan_core.errors import RefusedError

DEFAULT_MAX_TOKENS = 30
"""Text tokens kept of an item (method, section 6)."""

TRAINED_WITH_PADDING = {"siglip_text_model", "siglip2_text_model"}
"""Model types that always saw texts padded to their full length, and no mask: they attend to padding."""

BATCH_COSTS = 48
"""What a batch costs beside its tokens, in tokens: 80 with MiniLM on one thread; a larger model's tokens weigh more."""


class TextBackbone(Backbone):
    """Tokenizer and model; padding follows the tokenizer's own side and is never pooled.

    Models trained with padding get theirs: every text at full length, without a mask. Pooling leaves it out there, too.
    """

    modality = "text"
    poolings = ("cls", "mean", "last")

    def __init__(
        self, model: nn.Module, source: Source, *, tokenizer: Any, compute_dtype: Precision = "float32"
    ) -> None:
        if tokenizer.pad_token is None:
            if tokenizer.eos_token is None:
                raise RefusedError(
                    f"the tokenizer of {source.name} has neither a padding nor an end token; set `pad_token` in "
                    "its tokenizer_config.json"
                )
            # The mask keeps padding out of attention and pooling, so which token pads does not matter.
            tokenizer.pad_token = tokenizer.eos_token
        self._tokenizer = tokenizer
        config: Any = model.config
        self._full_length = config.max_position_embeddings if config.model_type in TRAINED_WITH_PADDING else None
        self.needs_padding = self._full_length is not None
        accepts = inspect.signature(model.forward).parameters
        # Left of the text, padding would shift learned positions; counted over real tokens they stay what they are.
        self._numbers_positions = tokenizer.padding_side == "left" and "position_ids" in accepts
        super().__init__(model, source, compute_dtype=compute_dtype)

    def batches(self, inputs: Sequence[str], *, batch_size: int, size: int | None) -> Iterator[Batch]:
        """Plan batches of texts, shortest first, each cut to `size` tokens (30 where None)."""
        if not inputs:
            return
        token_ids = self._token_ids(inputs, size)
        lengths = [self._full_length or len(ids) for ids in token_ids]
        for positions in cheapest_batches(lengths, most=batch_size):
            yield Batch(positions, partial(self._load, positions, [token_ids[p] for p in positions]))

    def together(self, inputs: Sequence[str], *, size: int | None) -> LoadedBatch:
        """See `Backbone.together`."""
        return self._load(list(range(len(inputs))), self._token_ids(inputs, size))

    def _token_ids(self, inputs: Sequence[str], size: int | None) -> list[list[int]]:
        max_length = min(size or DEFAULT_MAX_TOKENS, self._full_length or sys.maxsize)
        ids: list[list[int]] = self._tokenizer(list(inputs), truncation=True, max_length=max_length)["input_ids"]
        return ids

    def _load(self, positions: list[int], token_ids: list[list[int]]) -> LoadedBatch:
        # A text of which the tokenizer leaves nothing (no special tokens, only unknown characters).
        empty = {p: "no tokens" for p, ids in zip(positions, token_ids, strict=True) if not ids}
        readable = [(p, ids) for p, ids in zip(positions, token_ids, strict=True) if ids]
        tensors = self._padded([ids for _, ids in readable]) if readable else {}
        return LoadedBatch([p for p, _ in readable], tensors, empty)

    def _padded(self, token_ids: list[list[int]]) -> dict[str, Tensor]:
        padding = (
            {"padding": "longest"}
            if self._full_length is None
            else {"padding": "max_length", "max_length": self._full_length}
        )
        given = {"input_ids": token_ids}
        padded = self._tokenizer.pad(given, return_attention_mask=True, return_tensors="pt", **padding)
        return {"input_ids": padded["input_ids"], "attention_mask": padded["attention_mask"]}

    def _forward(self, tensors: dict[str, Tensor], *, output_hidden_states: bool = False) -> Any:
        given = dict(tensors)
        if self._full_length is not None:
            del given["attention_mask"]
        elif self._numbers_positions:
            given["position_ids"] = (given["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
        return super()._forward(given, output_hidden_states=output_hidden_states)

    def first_token_is_blind(self) -> bool:
        """See `Backbone.first_token_is_blind`; tried with two texts that differ in their last token."""
        first = self.example()
        second = {name: tensor.clone() for name, tensor in first.items()}
        column = int(first["attention_mask"].nonzero()[-1, 1])
        if not first["attention_mask"][0, :column].any():
            return False
        second["input_ids"][0, column] = (first["input_ids"][0, column] + 1) % len(self._tokenizer)
        states = [self.encode(tensors, layers=[self.n_layers], pooling="cls") for tensors in (first, second)]
        return torch.equal(*states)

    def example(self) -> dict[str, Tensor]:
        """One short text."""
        return self._padded([self._tokenizer("a b")["input_ids"]])


def cheapest_batches(lengths: Sequence[int], *, most: int) -> list[list[int]]:
    """Positions of texts in batches of at most `most`, shortest first, so that tokens and batches cost least together.

    Every text of a batch is padded to its longest. In a large part nearly all batches are full; a handful of new items
    would otherwise fill one batch, each padded to the longest of them, or make a batch each.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    cost, begins = [0], [0]  # of the first n texts: their cheapest batches' cost, and where the last of these begins
    for stop, position in enumerate(order, start=1):
        begun = range(max(0, stop - most), stop)
        least, begin = min((cost[start] + (stop - start) * lengths[position], start) for start in begun)
        cost.append(least + BATCH_COSTS)
        begins.append(begin)
    batches, stop = [], len(order)
    while stop:
        batches.append(order[begins[stop] : stop])
        stop = begins[stop]
    return batches[::-1]
