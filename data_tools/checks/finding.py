"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """Something found in a dataset."""

    severity: Literal["error", "warning", "note"]
    """`error`: training will fail; `warning`: results suffer or mislead; `note`: worth knowing."""
    what: str
    count: int
    """How many users, items, interactions or files it concerns."""
    remedy: str
