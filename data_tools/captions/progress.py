"""What a captioning is told and tells; imports no model library, so that the shell's help need not wait for one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Origin: TypeAlias = Literal["image", "video"]
"""What an item's text is written from: its picture, or frames of its video."""
COLUMN = "caption"
MAX_NEW_TOKENS = 40


@dataclass(frozen=True)
class CaptionProgress:
    """How far the captioning is."""

    total: int
    """Items that have pictures."""
    found: int
    """Of these, items whose caption was there already."""
    written: int
    failures: Mapping[str, str] = field(default_factory=dict)
    """Item id → why its pictures could not be read; the next call tries again."""
