"""What a training loop asks of whatever feeds its item encoder: cached states, or raw inputs of the backbones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from torch import Tensor


class Bank(Protocol):
    """Feeds an item encoder with items 1 … N."""

    def gather(self, items: Tensor) -> tuple[Any, dict[str, Tensor]]:
        """Item numbers [C] on any device → what the item encoder reads, and presence by modality, bool [C]."""

    def gathered(self, batches: Iterable[Tensor]) -> Iterator[tuple[Any, dict[str, Tensor]]]:
        """`gather` for one batch of item numbers after the other; what has to be read is read ahead."""

    def blocks(self, size: int) -> list[Tensor]:
        """All item numbers in blocks of at most `size`."""
