"""What the released programs took on two CPU cores, and whether their form here takes the same.

A yardstick that were slower than they are would flatter us, so it is held against these figures in every run.
"""

from __future__ import annotations

from dataclasses import dataclass

TOLERANCE = 0.25
MATRIX_RATES = (180e9, 207e9)
"""Float32 operations per second of large matrix products on machines like the one that the figures were taken on."""


@dataclass(frozen=True)
class Figure:
    """Seconds from `fastest` to `slowest`."""

    fastest: float
    slowest: float

    @property
    def bounds(self) -> tuple[float, float]:
        """What still counts as the same."""
        return (1 - TOLERANCE) * self.fastest, (1 + TOLERANCE) * self.slowest

    def place(self, seconds: float) -> str:
        """`inside` the bounds, or `below` or `above` them."""
        low, high = self.bounds
        return "below" if seconds < low else "above" if seconds > high else "inside"


STEPS = {64: Figure(0.34, 0.44), 512: Figure(9.0, 9.0)}
"""Batch size → one training step."""
RANKING = Figure(17.0, 20.0)
"""12,076 users, 20,314 items."""
