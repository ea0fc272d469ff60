"""Bytes of a hidden-state cache: rows × kept widths × bytes of a number."""

from __future__ import annotations

from collections.abc import Sequence

from iisan_core.cache.manifest import ITEM_BYTES, StoredDtype


def row_bytes(widths: Sequence[int], dtype: StoredDtype) -> int:
    """Of one item's states; `widths` are those of the kept layers."""
    return sum(widths) * ITEM_BYTES[dtype]


def cache_bytes(items: int, widths: Sequence[int], dtype: StoredDtype) -> int:
    """Of `states.bin`, exactly; the table of item ids beside it takes some 80 bytes an item more."""
    return items * row_bytes(widths, dtype)
