"""Which layers are kept: one vocabulary for every backbone (method, section 2).

| choice | layers of an encoder with n layers (layer 0 is the embedding output) |
| --- | --- |
| `all` | 0, 1, …, n |
| `even` | 0, 2, 4, … up to n |
| `group:k` | k layers: 0 and n − j·step, j = 0 … k−2, step = round(n / (k − 1.5)) |
| `paper:NAME` | a published list, of an encoder of exactly that depth: see `PUBLISHED` |
| `0,3,-1` or `[0, 3, -1]` | those; negatives count from the end, −1 is the last |
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from iisan_core.errors import RefusedError

ALLOWED = "`all`, `even`, `group:k`, `paper:NAME` or layer numbers such as `0,3,6` (negatives count from the end)"

PUBLISHED: dict[str, tuple[int, ...]] = {
    "base": (0, 2, 4, 6, 8, 10, 12),
    "bert-large": (0, 4, 8, 12, 16, 20, 24),
    "7b": (0, 2, 8, 14, 20, 26, 32),
    "8b": (0, 2, 8, 14, 20, 26, 32),
    "eva-clip-18b": (0, 3, 12, 21, 30, 39, 48),
    "56-layers": (0, 6, 16, 26, 36, 46, 56),
    "llama-3-70b": (0, 5, 20, 35, 50, 65, 80),
}
"""The choices of the papers by name (IISAN: `base`, BERT and ViT; IISAN-Versa: the others); each ends in the last
layer of its encoder."""


def choose_layers(choice: str | Sequence[int], n_layers: int) -> list[int]:
    """Resolve a layer choice for an encoder with layers 0 … `n_layers`; the result ascends.

    Raises `RefusedError` for an unknown word, a layer that the encoder lacks, or a layer named twice.
    """
    if not isinstance(choice, str):
        return _explicit(list(choice), n_layers)
    word = choice.strip()
    if word == "all":
        return list(range(n_layers + 1))
    if word == "even":
        return list(range(0, n_layers + 1, 2))
    if word.startswith("group:"):
        return _group(word, n_layers)
    if word.startswith("paper:"):
        return _published(word, n_layers)
    return _explicit(_numbers(word), n_layers)


def _group(choice: str, n_layers: int) -> list[int]:
    count = _numbers(choice.removeprefix("group:"))
    if len(count) != 1 or count[0] < 2:
        raise RefusedError(f"layers {choice!r}: k must be one whole number of at least 2, as in `group:7`")
    k = count[0]
    step = round(n_layers / (k - 1.5))
    layers = [0] + [n_layers - j * step for j in reversed(range(k - 1))]
    # Strictly ascending from 0 means: no layer twice, none negative.
    if any(upper <= lower for lower, upper in pairwise(layers)):
        raise RefusedError(
            f"layers {choice!r} of an encoder with {n_layers} layers would be {layers}: a layer twice or below 0; "
            "choose another k, or name the layers"
        )
    return layers


def _published(choice: str, n_layers: int) -> list[int]:
    layers = PUBLISHED.get(choice.removeprefix("paper:"))
    if layers is None:
        raise RefusedError(f"no published choice {choice!r}; there are {', '.join(f'paper:{n}' for n in PUBLISHED)}")
    if layers[-1] != n_layers:
        raise RefusedError(
            f"layers {choice!r} are of an encoder with {layers[-1]} layers, this one has {n_layers}; `group:7` makes a "
            "like choice for any depth"
        )
    return list(layers)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise RefusedError(f"layers {text!r} are not understood; allowed are {ALLOWED}") from None


def _explicit(numbers: list[int], n_layers: int) -> list[int]:
    if not numbers:
        raise RefusedError(f"no layers are chosen; allowed are {ALLOWED}")
    for number in numbers:
        if not -n_layers - 1 <= number <= n_layers:
            raise RefusedError(
                f"layer {number} does not exist: the encoder has layers 0 to {n_layers} (0 is the embedding output, "
                f"-1 is layer {n_layers})"
            )
    layers = sorted(number % (n_layers + 1) for number in numbers)
    for lower, upper in pairwise(layers):
        if lower == upper:
            raise RefusedError(f"layers {numbers} name layer {upper} twice (of 0 to {n_layers}); name it once")
    return layers
