"""Text backbones: any encoder or decoder that the auto classes load, without its head."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, Literal

import torch
from torch import Tensor, nn

from iisan_core.backbones.base import Backbone, Batch, LoadedBatch, Source, chunks
from iisan_core.backbones.declared import Declared
from iisan_core.backbones.probes import agree, attempt, most_tokens
from iisan_core.config.schema import Precision
from iisan_core.errors import RefusedError

DEFAULT_MAX_TOKENS = 30
"""Text tokens kept of an item (method, section 6)."""

TRAINED_WITH_PADDING = {"siglip_text_model", "siglip2_text_model"}
"""Model types that always saw texts padded to their full length, and no mask: they attend to padding."""

BATCH_COSTS = 48
"""What a batch costs beside its tokens, in tokens: 80 with MiniLM on one thread; a larger model's tokens weigh more."""

PROBED = (6, 24)
"""Tokens of the two texts that are tried at load: one alone, and one beside it."""

WORDS = "a small red mug of steel beside the large blue lamp, both quite new and never used by anybody before"


@dataclass(frozen=True)
class Padding:
    """How texts of different lengths come into one batch."""

    side: Literal["left", "right"]
    counted: bool = False
    """Whether positions are counted over real tokens here, because the model would count padding, too."""


class TextBackbone(Backbone):
    """Tokenizer and model. Padding is never pooled, and comes where it changes nothing: see `_choose_padding`.

    Models trained with padding get theirs: every text at full length, without a mask. Pooling leaves it out there, too.
    """

    modality = "text"
    poolings = ("cls", "mean", "last")

    def __init__(
        self,
        model: nn.Module,
        source: Source,
        *,
        tokenizer: Any,
        compute_dtype: Precision = "float32",
        declared: Declared | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._declared = declared or Declared()
        config: Any = model.config
        self._full_length = config.max_position_embeddings if config.model_type in TRAINED_WITH_PADDING else None
        self.needs_padding = self._full_length is not None
        self._accepts, self._known_tokens = _accepted(model), _known_tokens(model)
        limits = [limit for limit in (most_tokens(model), self._declared.max_tokens) if limit]
        self.most_tokens, self.longest_trained = min(limits, default=None), self._declared.max_tokens
        self.prompt = self._declared.prompt
        self.default_pooling = self._declared.pooling or self.default_pooling
        self._padding = Padding("right")
        self._at_once: Literal["any", "equal", "one"] = "any"
        super().__init__(model, source, compute_dtype=compute_dtype)
        self.notes += self._declared.notes
        self._choose_padding()

    def batches(self, inputs: Sequence[str], *, batch_size: int, size: int | None, prompt: str = "") -> Iterator[Batch]:
        """Plan batches of texts, shortest first, each cut to `size` tokens (30 where None) beside those of `prompt`."""
        if not inputs:
            return
        token_ids = self._token_ids(inputs, size, prompt)
        lengths = [self._full_length or len(ids) for ids in token_ids]
        for positions in self._planned(lengths, batch_size):
            yield Batch(positions, partial(self._load, positions, [token_ids[p] for p in positions]))

    def together(self, inputs: Sequence[str], *, size: int | None, prompt: str = "") -> LoadedBatch:
        """See `Backbone.together`; raises `RefusedError` where the model takes texts of one length only."""
        token_ids = self._token_ids(inputs, size, prompt)
        if self._at_once == "one" or (self._at_once == "equal" and len({len(ids) for ids in token_ids}) > 1):
            raise RefusedError(
                f"{self.name} gives a text other states beside texts of other lengths, so a batch of any texts cannot "
                "be made; use its cache, or another backbone"
            )
        return self._load(list(range(len(inputs))), token_ids)

    def prompt_of(self, choice: str | None) -> str:
        """What stands before every text: one of the model's own prompts by its name, or words; None is its default."""
        if choice is None:
            return self.prompt
        return self._declared.prompts.get(choice, choice)

    def _planned(self, lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
        if self._at_once == "any":
            yield from cheapest_batches(lengths, most=batch_size)
            return
        by_length = sorted(range(len(lengths)), key=lengths.__getitem__)
        for _, group in groupby(by_length, key=lengths.__getitem__):
            yield from chunks(list(group), batch_size if self._at_once == "equal" else 1)

    def _token_ids(self, inputs: Sequence[str], size: int | None, prompt: str = "") -> list[list[int]]:
        extra = len(self._tokenizer(prompt, add_special_tokens=False)["input_ids"]) if prompt else 0
        most = min(self._full_length or sys.maxsize, self.most_tokens or sys.maxsize)
        limit = min((size or DEFAULT_MAX_TOKENS) + extra, most)
        ids: list[list[int]] = self._tokenizer([prompt + text for text in inputs], truncation=True, max_length=limit)[
            "input_ids"
        ]
        return ids

    def _load(self, positions: list[int], token_ids: list[list[int]]) -> LoadedBatch:
        # A text of which the tokenizer leaves nothing (no special tokens, only unknown characters).
        empty = {p: "no tokens" for p, ids in zip(positions, token_ids, strict=True) if not ids}
        readable = [(p, ids) for p, ids in zip(positions, token_ids, strict=True) if ids]
        tensors = self._padded([ids for _, ids in readable]) if readable else {}
        return LoadedBatch([p for p, _ in readable], tensors, empty)

    def _padded(self, token_ids: list[list[int]]) -> dict[str, Tensor]:
        longest = self._full_length or max(map(len, token_ids))
        ids = torch.full((len(token_ids), longest), self._filler(), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, of_one in enumerate(token_ids):
            start = longest - len(of_one) if self._padding.side == "left" else 0
            place = slice(start, start + len(of_one))
            ids[row, place] = torch.tensor(of_one)
            mask[row, place] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def _filler(self) -> int:
        """The token that pads: which one it is does not matter, for the mask keeps it out of attention and pooling."""
        candidates = (self._tokenizer.pad_token_id, self._tokenizer.eos_token_id)
        return next((token for token in candidates if token is not None and token < self._known_tokens), 0)

    def _forward(self, tensors: dict[str, Tensor], *, output_hidden_states: bool = False) -> Any:
        given = dict(tensors)
        if self._full_length is not None:
            del given["attention_mask"]
        elif self._padding.counted:
            given["position_ids"] = (given["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
        given = {name: tensor for name, tensor in given.items() if self._accepts(name)}
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
        return self._padded([self._tokenizer("a b")["input_ids"] or [0]])

    @torch.inference_mode()
    def _choose_padding(self) -> None:
        """Find how texts can be batched without changing the states that each has alone.

        Padding on the tokenizer's side, the model's own count of positions, padding on the right – whatever first
        leaves a text as it is beside a longer one. Where nothing does, texts of equal length only come together, or
        each comes alone.
        """
        short, long = self._probe_texts()
        alone = self._states([short], Padding("right"))
        if alone is None or self._full_length is not None:
            return
        ways = self._ways()
        for way in ways:
            found = (self._states(texts, way) for texts in ([short], [short, long]))
            if all(states is not None and self._agrees(states, alone) for states in found):
                self._padding = way
                break
        else:
            self._padding = Padding("right")
            beside = self._states([short, short[::-1]], self._padding)
            self._at_once = "equal" if beside is not None and self._agrees(beside, alone) else "one"
        if self._at_once != "any":
            together = "of equal length only come together" if self._at_once == "equal" else "come one by one"
            self.reading = f"texts {together}"
        elif self._padding != ways[0]:
            self.reading = f"padding on the {self._padding.side}, positions as the model counts them"

    def _ways(self) -> list[Padding]:
        """What may be tried, first what is usual for the tokenizer."""
        if self._tokenizer.padding_side != "left":
            return [Padding("right")]
        counted = [Padding("left", counted=True)] if self._accepts("position_ids") else []
        return [*counted, Padding("left"), Padding("right")]

    def _states(self, texts: list[list[int]], padding: Padding) -> Tensor | None:
        """Mean states of the first of some texts, `[ΣD]`, all batched so; None where the model cannot take them."""
        before, self._padding = self._padding, padding
        try:
            tensors = self._padded(texts)
            pooled = attempt(lambda: self.encode(tensors, layers=range(self.n_layers + 1), pooling="mean"))
        finally:
            self._padding = before
        return None if pooled is None else pooled[0]

    def _agrees(self, found: Tensor, alone: Tensor) -> bool:
        return agree(found, alone, self.widths, precision=self.compute_dtype)

    def _probe_texts(self) -> list[list[int]]:
        """Tokens of a short and of a longer text, as different as the vocabulary allows."""
        most = self.most_tokens or sys.maxsize
        texts = [list(self._tokenizer(WORDS, truncation=True, max_length=min(n, most))["input_ids"]) for n in PROBED]
        padding = getattr(self.model.config, "pad_token_id", None)  # models number positions by it
        special = {*self._tokenizer.all_special_ids, padding} - {self._tokenizer.unk_token_id}
        usual = [token for token in range(min(len(self._tokenizer), 512)) if token not in special]
        usual = [token for token in usual if token < self._known_tokens] or [0]
        kept = [token if token in special else usual[(7 * n) % len(usual)] for n, token in enumerate(texts[0])]
        longer = [token if token in special else usual[(5 * n + 3) % len(usual)] for n, token in enumerate(texts[1])]
        return [kept or usual[:1], longer or usual[:2]]


def _known_tokens(model: nn.Module) -> int:
    """How many tokens a model has vectors for."""
    table = attempt(lambda: model.get_input_embeddings())  # type: ignore[operator]
    return int(getattr(table, "num_embeddings", sys.maxsize))


def _accepted(model: nn.Module) -> Any:
    """Whether a model's forward takes an argument, by its name."""
    parameters = inspect.signature(model.forward).parameters
    any_name = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    return lambda name: name in parameters or (any_name and name != "position_ids")


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
