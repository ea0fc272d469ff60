"""How much memory tensors take at the same time, on any device, the meta device without memory included."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CONVOLUTIONS = ("convolution", "conv1d", "conv2d", "conv3d")


class MemoryTracker(TorchDispatchMode):
    """Counts the bytes of all tensors made within the block that are alive at the same time.

    Convolutions compute in a layout of their own: copies of what goes in and comes out count while they run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        """Bytes alive."""
        self.peak = 0
        """The most that were."""
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Compute as without the block, and count what is new."""
        for given in tree_leaves((args, kwargs)):
            if isinstance(given, Tensor):
                self._count(*_memory(given)[:2], size=0)  # from before the block, such as weights
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                owner, key, size = _memory(tensor)
                self._count(owner, key, size=size)
                if func.overloadpacket.__name__ in CONVOLUTIONS:
                    self.peak = max(self.peak, self.now + args[0].nbytes + tensor.nbytes)
        return result

    def _count(self, owner: object, key: int, *, size: int) -> None:
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(owner, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _memory(tensor: Tensor) -> tuple[object, int, int]:
    """What holds a tensor's memory, a key of that, and its bytes; weights packed for a product hide their storage."""
    if tensor.is_mkldnn:
        return tensor, id(tensor), tensor.numel() * tensor.element_size()
    storage = tensor.untyped_storage()
    return storage, storage._cdata, storage.nbytes()
