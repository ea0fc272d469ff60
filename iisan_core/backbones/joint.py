"""Joint backbones: vision-language models that read an item's picture and text in one pass."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from iisan_core.backbones.base import Backbone, Batch, LoadedBatch, Source, chunks
from iisan_core.backbones.joint_processor import LONGEST_SIDE, JointProcessor
from iisan_core.backbones.probes import attempt, most_tokens
from iisan_core.backbones.vision import shape_of
from iisan_core.config.schema import Precision
from iisan_core.data.dataset import TextAndPicture
from iisan_core.data.pictures import UNREADABLE, read_picture
from iisan_core.errors import RefusedError

INSTRUCTION = "Summarize this item in one word:"
"""What stands after picture and text where nothing else is said."""

DEFAULT_MAX_TOKENS = 30
"""Tokens kept of an item's text (method, section 6)."""

APART = "/"
"""Between the number of a pass and a tensor's name, in batches that take several passes."""

WORDS = "a small red mug", "two old blue lamps"
"""Of two items that are tried at load."""


class JointBackbone(Backbone):
    """Processor and model. The prompt is picture, text and instruction, in the model's chat template where it has one.

    What an item lacks is left out of its prompt. Only prompts of equal length and pictures of equal shape go through
    the model together, so nothing is padded. Pictures are read whole, not in tiles.
    """

    modality = "joint"
    poolings = ("mean", "last")
    prompt = INSTRUCTION

    def __init__(
        self, model: nn.Module, source: Source, *, processor: JointProcessor, compute_dtype: Precision = "float32"
    ) -> None:
        self._processor = processor
        self._accepts = frozenset(inspect.signature(model.forward).parameters) - {"labels"}
        self.most_tokens = most_tokens(model)
        self.chats = processor.chats
        """Whether inputs stand in the chat template of the model."""
        super().__init__(model, source, compute_dtype=compute_dtype)
        ways = {
            "in the model's chat template": self.chats,
            "pictures whole": bool(processor.whole),
            f"pictures of at most {LONGEST_SIDE} pixels a side": processor.keeps_shape,
            "inputs come one by one": self.one_by_one,
        }
        self.reading = ", ".join(way for way, holds in ways.items() if holds) or None
        alone = processor.tensors(WORDS[0], None, INSTRUCTION)
        self.reads_text_alone = attempt(lambda: self.encode(alone, layers=[self.n_layers], pooling="mean")) is not None
        """Whether it takes an item without a picture."""
        if not self.reads_text_alone:
            self.notes.append("it reads no text without a picture, so items without a picture have no joint states")

    def batches(
        self, inputs: Sequence[TextAndPicture], *, batch_size: int, size: int | None, prompt: str = ""
    ) -> Iterator[Batch]:
        """Plan batches of items, shortest texts first, each cut to `size` tokens (30 where None).

        `prompt` is the instruction behind them.
        """
        texts = [self._processor.cut(pair.text or "", tokens=size or DEFAULT_MAX_TOKENS) for pair in inputs]
        likeness = [self._likeness(text, pair) for text, pair in zip(texts, inputs, strict=True)]
        alike = sorted(range(len(inputs)), key=likeness.__getitem__)
        for _, group in groupby(alike, key=likeness.__getitem__):
            for positions in chunks(list(group), 1 if self.one_by_one else batch_size):
                some = [(position, texts[position], inputs[position]) for position in positions]
                yield Batch(positions, partial(self._load, some, prompt))

    def prompt_of(self, choice: str | None) -> str:
        """The instruction by a user's choice; None is the usual one."""
        return self.prompt if choice is None else choice

    def together(self, inputs: Sequence[TextAndPicture], *, size: int | None, prompt: str = "") -> LoadedBatch:
        """See `Backbone.together`; raises `RefusedError` for several items."""
        if len(inputs) > 1:
            raise RefusedError(f"{self.name} reads pictures and texts of equal shapes only; use its cache")
        return super().together(inputs, size=size, prompt=prompt)

    def _likeness(self, text: str, pair: TextAndPicture) -> tuple[int, ...]:
        """Items of equal numbers are likely to have inputs of equal shapes."""
        if pair.picture is None:
            return self._processor.length(text), 0
        shape = shape_of(pair.picture) if self._processor.keeps_shape else ()
        return self._processor.length(text), 1, *shape

    def _load(self, items: list[tuple[int, str, TextAndPicture]], instruction: str) -> LoadedBatch:
        problems: dict[int, str] = {}
        passes: dict[object, dict[int, dict[str, Tensor]]] = {}
        for position, text, pair in items:
            if pair.picture is None and not self.reads_text_alone:
                problems[position] = f"no picture, and {self.name} reads no text without one"
                continue
            try:
                picture = None if pair.picture is None else read_picture(pair.picture)
            except UNREADABLE as error:
                problems[position] = f"unreadable picture: {error}"
                continue
            made = self._processor.tensors(text, picture, instruction)
            shapes = tuple((name, tensor.shape) for name, tensor in made.items())
            passes.setdefault(shapes, {})[position] = made
        loaded = [position for of_pass in passes.values() for position in of_pass]
        tensors: dict[str, Tensor] = {}
        for number, of_pass in enumerate(passes.values()):
            ones = list(of_pass.values())
            tensors |= {f"{number}{APART}{name}": torch.cat([one[name] for one in ones]) for name in ones[0]}
        return LoadedBatch(loaded, tensors, problems)

    def pooled(self, tensors: dict[str, Tensor], *, layers: Sequence[int], pooling: str) -> Tensor:
        """Pooled states of each item, `[B, ΣD]`; items of unequal shapes go through the model one lot after another."""
        passes: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            number, _, own = name.rpartition(APART)
            passes.setdefault(number, {})[own] = tensor
        pool = partial(super().pooled, layers=layers, pooling=pooling)
        return torch.cat([pool(of_pass) for of_pass in passes.values()])

    def example(self) -> dict[str, Tensor]:
        """A black picture and a few words."""
        return self._processor.tensors(WORDS[0], Image.new("RGB", (64, 64)), INSTRUCTION)

    def other_example(self) -> dict[str, Tensor]:
        """A picture of noise and other words; the same words where others do not become as many tokens."""
        noise = torch.randint(0, 256, (64, 64, 3), generator=torch.Generator().manual_seed(0))
        picture = Image.fromarray(noise.to(torch.uint8).numpy())
        other = self._processor.tensors(WORDS[1], picture, INSTRUCTION)
        if other["input_ids"].shape == self.example()["input_ids"].shape:
            return other
        return self._processor.tensors(WORDS[0], picture, INSTRUCTION)

    def _common_tokens(self, hidden: Tensor, other: dict[str, Tensor], *, padded: bool) -> tuple[int, int]:
        """Words around picture and text are read like these: `mean` is over all tokens."""
        return 0, 0

    def _forward(self, tensors: dict[str, Tensor], *, output_hidden_states: bool = False) -> Any:
        dtype = getattr(torch, self.compute_dtype)
        given = {name: tensor for name, tensor in tensors.items() if name in self._accepts}
        given = {name: t.to(dtype) if t.is_floating_point() else t for name, t in given.items()}
        return self.model(**given, output_hidden_states=output_hidden_states, return_dict=True)


def joint_model_of(model: Any, name: str) -> Any:
    """The part of a vision-language model that makes hidden states of pictures and texts, without its head.

    Raises `RefusedError` for a model that reads no picture beside a text, and for an encoder–decoder.
    """
    within = getattr(model, "base_model", model)
    takes = inspect.signature(within.forward).parameters
    if getattr(model.config, "is_encoder_decoder", False) or not {"input_ids", "pixel_values"} <= takes.keys():
        raise RefusedError(
            f"{name} is no joint backbone: it does not read a picture and a text in one pass as Qwen-VL, SmolVLM, "
            "LLaVA, PaliGemma, Gemma 3 and InternVL do; choose such a model"
        )
    for config in (within.config, within.config.get_text_config()):
        config.use_cache = False  # keys and values are of no use after the pass
    return within
