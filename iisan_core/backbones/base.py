"""What every backbone is: a frozen model that turns texts, pictures and so on into pooled hidden states.

Axes: B items, T tokens, D width of a layer; ΣD the widths of the kept layers, one after the other.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from iisan_core.backbones.hooks import HookPoint, collecting, find_hook_points
from iisan_core.backbones.probes import LARGE_STATE, WIDE_RANGE, agree, attempt, tokens_apart
from iisan_core.config.schema import Modality, Precision, StoredDtype
from iisan_core.errors import RefusedError

Read = TypeVar("Read")


@dataclass(frozen=True)
class LoadedBatch:
    """Inputs ready for the model; what could not be read is named, not replaced."""

    positions: list[int]
    """Which of the given inputs the tensors hold, in this order."""
    tensors: dict[str, Tensor]
    """Arguments of the model's forward, on the CPU; empty where nothing could be read."""
    problems: dict[int, str] = field(default_factory=dict)
    """Position → why that input could not be read."""


@dataclass(frozen=True)
class Batch:
    """A batch that is planned; `load` does its reading and may be called from any thread."""

    positions: list[int]
    load: Callable[[], LoadedBatch]


@dataclass(frozen=True)
class Source:
    """Where a backbone comes from, down to the bytes."""

    name: str
    """Alias, hub id or folder, as the user wrote it."""
    location: str
    """Hub id or folder that the library loads."""
    revision: str
    """Commit hash on the hub, or a SHA-256 over the files of a local folder."""


class Backbone(ABC):
    """A frozen encoder. Layer l of `n_layers` is entry l of what `output_hidden_states=True` returns; see
    `find_hook_points` for the one layer that may follow.

    Made by `load_backbone`; subclasses say how their inputs are read.
    """

    modality: ClassVar[Modality]
    poolings: tuple[str, ...]
    # Layer 0 of `cls` is the same vector for every item and not every encoder has a class token; `mean` always works.
    default_pooling: str = "mean"
    needs_padding: bool = False
    """Whether inputs must keep their padding, because the model was trained with it."""
    reading: str | None = None
    """How the model is given its inputs, where that is another way than usual because its states demand it."""
    tokens_apart: tuple[int, int] = (0, 0)
    """How many class, register and like tokens stand before and behind what comes from an input itself."""
    one_by_one: bool = False
    """Whether inputs must come alone, because others beside them change their states."""
    most_tokens: int | None = None
    """The longest text that it takes; None where there is no limit, or none known."""
    longest_trained: int | None = None
    """The longest text that its makers cut to, where they say so; longer ones are cut alike."""
    prompt: str = ""
    """What the model's makers put before every text, where they do."""

    def __init__(self, model: nn.Module, source: Source, *, compute_dtype: Precision) -> None:
        self.name = source.name
        self.revision = source.revision
        self.compute_dtype: Precision = compute_dtype
        self.model = model.eval().requires_grad_(False)
        """The frozen network itself."""
        self.device = _device_of(model)
        """Where inputs go; a model that is spread over devices moves them on by itself."""
        self.notes: list[str] = []
        """What its user should know, a sentence each."""
        self.hook_points, examples = self._probe()
        """Where each layer 0 … n_layers is collected."""
        self.n_layers = len(self.hook_points) - 1
        examples = [h.unsqueeze(0) if h.dim() == 2 else h for h in examples]
        self.widths = [h.shape[1] if h.dim() == 4 else h.shape[-1] for h in examples]
        """Width of each layer 0 … n_layers."""
        self._look_at(examples)

    @property
    def stored_dtype(self) -> StoredDtype:
        """The number format that holds its states: float16, or bfloat16 where they are large."""
        wide = self.largest_state > LARGE_STATE or getattr(self.model.config, "model_type", "") in WIDE_RANGE
        return "bfloat16" if wide else "float16"

    @abstractmethod
    def batches(self, inputs: Sequence[Any], *, batch_size: int, size: int | None, prompt: str = "") -> Iterator[Batch]:
        """Plan batches over `inputs`, of similar length each; `size` is tokens or pixels, None the model's own.

        `prompt` stands before every text; it does not count among its tokens.
        """

    def prompt_of(self, choice: str | None) -> str:
        """What stands before every text by a user's choice; only texts have any."""
        return ""

    def check_size(self, size: int | None) -> None:  # noqa: B027 -- most take any
        """Raise `RefusedError` for a size that the model cannot take."""

    def together(self, inputs: Sequence[Any], *, size: int | None, prompt: str = "") -> LoadedBatch:
        """One batch of one input, or of texts of any lengths, as an extraction reads them."""
        (batch,) = self.batches(inputs, batch_size=len(inputs), size=size)
        return batch.load()

    @abstractmethod
    def example(self) -> dict[str, Tensor]:
        """The smallest sensible input of the model."""

    def other_example(self) -> dict[str, Tensor] | None:
        """Another input of the same size, of which nothing is like the example's; None where there is none."""
        return None

    def to(self, device: str | torch.device) -> Backbone:
        """Move the model; returns itself."""
        self.device = torch.device(device)
        self.model.to(self.device)
        return self

    @torch.inference_mode()
    def encode(self, tensors: dict[str, Tensor], *, layers: Sequence[int], pooling: str) -> Tensor:
        """Pooled states of the kept layers, concatenated in the order of `layers`: `[B, ΣD]`, float32."""
        self.check(layers=layers, pooling=pooling)
        moved = {name: tensor.to(self.device, non_blocking=True) for name, tensor in tensors.items()}
        return self.pooled(moved, layers=layers, pooling=pooling)

    def pooled(self, tensors: dict[str, Tensor], *, layers: Sequence[int], pooling: str) -> Tensor:
        """What `encode` computes, from tensors on the model's device and with gradients where they are on."""
        mask = self._pooled_over(tensors)
        reduce = partial(_reduce, pooling=pooling, mask=mask, apart=self.tokens_apart)
        # With gradients the states stay in memory anyway, and pooling has to wait: done within a layer that is
        # checkpointed, it would be missing when the layer is computed again.
        later = torch.is_grad_enabled()
        points = {layer: self.hook_points[layer] for layer in layers}
        tokens = None if mask is None else mask.shape[1]
        with collecting(points, (lambda hidden: hidden) if later else reduce, tokens=tokens) as kept:
            self._forward(tensors)
        states = [reduce(kept[layer]) if later else kept[layer] for layer in layers]
        return torch.cat([state.to(self.device) for state in states], dim=1)

    def _pooled_over(self, tensors: dict[str, Tensor]) -> Tensor | None:
        """Which tokens are real; None where all are."""
        return tensors.get("attention_mask")

    def check(self, *, layers: Sequence[int], pooling: str) -> None:
        """Raise `RefusedError` for a layer or a pooling that this backbone does not have."""
        for layer in layers:
            if not 0 <= layer <= self.n_layers:
                raise RefusedError(f"{self.name} has no layer {layer}; it has layers 0 to {self.n_layers}")
        if pooling not in (*self.poolings, "mean-all"):  # which is the mean, where there are no further tokens
            raise RefusedError(
                f"pooling {pooling!r} of {self.name} ({self.modality}): allowed are {', '.join(self.poolings)}"
            )

    def first_token_is_blind(self) -> bool:
        """Whether the first token sees nothing after it, as in causal decoders: its states are hardly ever others."""
        return False

    def _forward(self, tensors: dict[str, Tensor], *, output_hidden_states: bool = False) -> Any:
        return self.model(**tensors, output_hidden_states=output_hidden_states, return_dict=True)

    @torch.inference_mode()
    def _probe(self) -> tuple[list[HookPoint], list[Tensor]]:
        example = {name: tensor.to(self.device) for name, tensor in self.example().items()}
        found = find_hook_points(self.model, lambda: self._forward(example, output_hidden_states=True))
        return [point for point, _ in found], [example for _, example in found]

    @torch.inference_mode()
    def _look_at(self, examples: list[Tensor]) -> None:
        """Learn from the hidden states of the example, and from those of a second pass over it."""
        example, other = self.example(), self.other_example()
        mask = self._pooled_over(example)
        if other is not None and len({hidden.shape[1] for hidden in examples}) == 1:  # layers of as many tokens each
            padded = mask is not None or self.modality == "audio"  # padding is alike, too
            self.tokens_apart = self._common_tokens(examples[0], other, padded=padded)
        if self.tokens_apart[0]:
            self.poolings = ("cls", *self.poolings)
        if any(self.tokens_apart):
            self.poolings = (*self.poolings, "mean-all")
        first = torch.cat([_reduce(h, pooling="mean-all", mask=mask).to(self.device) for h in examples], dim=1)[0]
        second = self.encode(example, layers=range(self.n_layers + 1), pooling="mean-all")[0]
        if not agree(first, second, self.widths, precision=self.compute_dtype):
            what = "item" if self.modality == "joint" else self.modality
            raise RefusedError(
                f"{self.name} gives other states at every pass over the same {what}: it draws at random, so "
                "what a cache holds would be chance; choose another backbone"
            )
        if other is not None:
            self._look_at_both(example, other, alone=first)
        self.largest_state = max(float(hidden.float().abs().max()) for hidden in examples)
        """Of any number in the hidden states of a short input."""

    def _common_tokens(self, hidden: Tensor, other: dict[str, Tensor], *, padded: bool) -> tuple[int, int]:
        """How many tokens before and behind are the same in the first layer `[1, T, D]` of two examples."""
        before, behind = tokens_apart(hidden, self._layer_0(other))
        return before, 0 if padded else behind

    def _layer_0(self, tensors: dict[str, Tensor]) -> Tensor:
        moved = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        with collecting({0: self.hook_points[0]}, lambda hidden: hidden) as kept:
            self._forward(moved)
        return kept[0] if kept[0].dim() > 2 else kept[0].unsqueeze(0)

    def _look_at_both(self, example: dict[str, Tensor], other: dict[str, Tensor], *, alone: Tensor) -> None:
        """Find out whether an input has the states beside another that it has alone."""
        every = range(self.n_layers + 1)
        both = {name: torch.cat([example[name], other[name]]) for name in example}
        beside = attempt(lambda: self.encode(both, layers=every, pooling="mean-all")[0])
        if beside is None or not agree(beside, alone, self.widths, precision=self.compute_dtype):
            self.one_by_one, self.reading = True, "inputs come one by one"


def blind_pooling(name: str) -> RefusedError:
    """What to say of pooling `cls` where the first token sees nothing after it."""
    return RefusedError(
        f"pooling 'cls' of {name}: it is a causal decoder, whose first token sees nothing of the text after it, so all "
        "items would be as good as the same; choose mean or last"
    )


def _reduce(hidden: Tensor, *, pooling: str, mask: Tensor | None, apart: tuple[int, int] = (0, 0)) -> Tensor:
    """One layer's hidden states `[B, T, D]` or feature maps `[B, D, H, W]` → `[B, D]`."""
    if hidden.dim() == 2:  # a list of one picture's patches
        hidden = hidden.unsqueeze(0)
    if hidden.dim() == 4:
        if pooling not in ("mean", "mean-all"):
            raise RefusedError(f"pooling {pooling!r} of feature maps: they have no class token; choose `mean`")
        return hidden.float().mean(dim=(2, 3))
    if mask is None or (mask.shape[1] != hidden.shape[1] and bool(mask.all())):  # layers may have fewer tokens
        mask = torch.ones(hidden.shape[:2], dtype=torch.long, device=hidden.device)
    mask = mask.to(hidden.device)
    if pooling == "mean" and any(apart):  # over the patches; class and register tokens say other things
        own = slice(apart[0], hidden.shape[1] - apart[1])
        return mean(hidden[:, own], mask[:, own])
    return POOLINGS["mean" if pooling == "mean-all" else pooling](hidden, mask)


def cls(hidden: Tensor, mask: Tensor) -> Tensor:
    """The first real token: hidden `[B, T, D]`, mask `[B, T]` (1 = real) → `[B, D]`."""
    first = mask.long().argmax(dim=1)
    return _token(hidden, first)


def last(hidden: Tensor, mask: Tensor) -> Tensor:
    """The last real token: hidden `[B, T, D]`, mask `[B, T]` (1 = real) → `[B, D]`."""
    from_the_end = mask.long().flip(1).argmax(dim=1)
    return _token(hidden, mask.shape[1] - 1 - from_the_end)


def mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean over real tokens, summed in float32: hidden `[B, T, D]`, mask `[B, T]` (1 = real) → `[B, D]`."""
    weights = mask.to(torch.float32).unsqueeze(1)  # [B, 1, T]
    return (weights @ hidden.float()).squeeze(1) / weights.sum(dim=2)


def _token(hidden: Tensor, position: Tensor) -> Tensor:
    rows = torch.arange(len(hidden), device=hidden.device)
    return hidden[rows, position].float()


POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cls": cls, "mean": mean, "last": last}
"""How one vector per token becomes one per item (method, section 1)."""


def _device_of(model: nn.Module) -> torch.device:
    """The first device that holds weights; those on the meta device wait on the disk."""
    devices = (parameter.device for parameter in model.parameters())
    return next((device for device in devices if device.type != "meta"), torch.device("cpu"))


def readable(
    inputs: Iterable[tuple[int, Path]],
    read: Callable[[Path], Read],
    problems: dict[int, str],
    *,
    what: str,
    errors: tuple[type[Exception], ...],
) -> Iterator[tuple[int, Read]]:
    """Position and what `read` makes of its file, one at a time; why others cannot be read goes into `problems`."""
    for position, path in inputs:
        try:
            made = read(path)
        except errors as error:
            problems[position] = f"unreadable {what}: {error}"
        else:
            yield position, made


def of_extra(module: str, otherwise: str) -> Any:
    """A module that comes with an extra; `otherwise` is the `RefusedError` where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise RefusedError(otherwise) from None


def chunks(positions: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Consecutive lists of up to `batch_size` positions."""
    for start in range(0, len(positions), batch_size):
        yield list(positions[start : start + batch_size])
