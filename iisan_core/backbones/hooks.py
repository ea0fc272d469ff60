"""Where in a model each hidden state can be collected.

`output_hidden_states=True` says *what* the hidden states are, but keeps all of them until the forward pass ends.
So a model is run that way once, on one small input, while hooks note every tensor that goes into or comes out of a
module. The module that handled the very tensor of hidden state l is where layer l is collected from then on: exactly
the library's meaning of every layer (a final norm included or not), for any architecture, and only what is kept
stays in memory.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor, nn

from iisan_core.errors import IisanError


@dataclass(frozen=True)
class HookPoint:
    """One tensor of a forward pass: what a module takes in or puts out at its n-th call."""

    module: nn.Module
    side: Literal["in", "out"]
    call: int
    padded: bool = field(default=False, compare=False)
    """Whether the module handles tokens behind the hidden state's own: padding that the model adds by itself."""
    turned: bool = field(default=False, compare=False)
    """Whether the module handles `[T, B, D]`, as XLNet's do."""


def find_hook_points(model: nn.Module, run: Callable[[], Any]) -> list[tuple[HookPoint, Tensor]]:
    """Place and example tensor of each hidden state 0 … n.

    A last feature map of another width than the last hidden state, such as the 1280 channels of MobileNetV2, counts as
    one more layer (method, section 2).

    `run` does one forward pass with hidden states on and returns the model's output.
    Raises `IisanError` for a model whose output has no hidden states or makes them outside of its modules.
    """
    seen: list[tuple[HookPoint, Tensor]] = []
    with _watching(model.modules(), lambda point, tensor: seen.append((point, tensor))):
        output = run()
    hidden_states = getattr(output, "hidden_states", None)
    if not hidden_states:
        raise IisanError(f"{type(model).__name__} returns no hidden states; choose a plain encoder instead")
    layers = [*hidden_states, *_widened(output, hidden_states[-1])]
    return [(_point_of(hidden, seen, layer), hidden) for layer, hidden in enumerate(layers)]


def _widened(output: Any, last: Tensor) -> list[Tensor]:
    final = getattr(output, "last_hidden_state", None)
    if not isinstance(final, Tensor) or not final.dim() == last.dim() == 4 or final.shape[1] == last.shape[1]:
        return []
    return [final]


def _point_of(hidden: Tensor, seen: list[tuple[HookPoint, Tensor]], layer: int) -> HookPoint:
    points = [point for point, tensor in seen if tensor is hidden]
    points = points or [point for point, tensor in seen if _same_numbers(tensor, hidden)]
    points = points or [replace(point, padded=True) for point, tensor in seen if _begins_with(tensor, hidden)]
    points = points or [replace(point, turned=True) for point, tensor in seen if _is_turned(tensor, hidden)]
    if not points:
        raise IisanError(
            f"hidden state {layer} of this model is neither input nor output of one of its modules, so it cannot be "
            "collected; choose another backbone"
        )
    # An output, where there is one, and of the outermost module: the least surprising place.
    return max(reversed(points), key=lambda point: point.side == "out")


def _same_numbers(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are views of the same memory in the same shape, as GPT-2's last state is of its norm's."""
    return a.untyped_storage()._cdata == b.untyped_storage()._cdata and (a.shape, a.stride(), a.storage_offset()) == (
        b.shape,
        b.stride(),
        b.storage_offset(),
    )


def _begins_with(whole: Tensor, hidden: Tensor) -> bool:
    """Whether a hidden state `[B, T, D]` is the start of a longer tensor, as Longformer's are of whole windows."""
    if not whole.dim() == hidden.dim() == 3 or whole.shape[1] <= hidden.shape[1]:
        return False
    return _same_numbers(whole[:, : hidden.shape[1]], hidden)


def _is_turned(whole: Tensor, hidden: Tensor) -> bool:
    """Whether a hidden state `[B, T, D]` is a tensor `[T, B, D]` with its first axes exchanged."""
    return whole.dim() == hidden.dim() == 3 and _same_numbers(whole.transpose(0, 1), hidden)


@contextmanager
def collecting(
    points: Mapping[int, HookPoint], reduce: Callable[[Tensor], Tensor], *, tokens: int | None = None
) -> Iterator[dict[int, Tensor]]:
    """Within the block, fill the yielded dict with layer → `reduce(hidden state)`; the rest is let go at once.

    `tokens` is how many the input has; what the model adds behind them is left out.
    """
    kept: dict[int, Tensor] = {}
    layers_at: defaultdict[HookPoint, list[int]] = defaultdict(list)
    for layer, point in points.items():
        layers_at[point].append(layer)

    def keep(point: HookPoint, tensor: Tensor) -> None:
        for layer in layers_at.get(point, ()):
            found = tensor.transpose(0, 1) if points[layer].turned else tensor
            kept[layer] = reduce(found[:, :tokens] if points[layer].padded else found)

    with _watching({point.module for point in points.values()}, keep):
        yield kept


@contextmanager
def _watching(modules: Any, note: Callable[[HookPoint, Tensor], None]) -> Iterator[None]:
    calls: Counter[nn.Module] = Counter()

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls[module] += 1
        tensor = _tensor_of(args) if args else kwargs.get("hidden_states", kwargs.get("inputs_embeds"))
        if isinstance(tensor, Tensor):
            note(HookPoint(module, "in", calls[module]), tensor)

    def after(module: nn.Module, _: Any, output: Any) -> None:
        tensor = _tensor_of(output)
        if tensor is not None:
            note(HookPoint(module, "out", calls[module]), tensor)

    handles = []
    for module in modules:
        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(module.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensor_of(value: Any) -> Tensor | None:
    if isinstance(value, tuple | list) and value:
        value = value[0]
    return value if isinstance(value, Tensor) else None
