"""Most popular: the same ranking for everybody."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iisan_core.sequences import Split


class Popular:
    """Scores an item by its number of training interactions."""

    def __init__(self, split: Split) -> None:
        self._counts = split.training_counts().astype(np.float32)  # [N + 1]

    def scores(self, histories: NDArray[np.int64]) -> NDArray[np.float32]:
        """Left-padded item numbers [B, H] → float32 [B, N + 1], row by row the same."""
        return np.tile(self._counts, (len(histories), 1))
