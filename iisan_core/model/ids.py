"""A vector per item that only interactions shape: SASRec's own, or one more modality beside the states'."""

from __future__ import annotations

from torch import Tensor, nn

from iisan_core.errors import RefusedError

INITIAL_STD = 0.02


class IdVectors(nn.Module):
    """One learned vector for each of `items` items; number 0, an item unknown in training, has zeros."""

    def __init__(self, *, items: int, width: int) -> None:
        super().__init__()
        if items < 1:
            raise RefusedError("a model with ids needs to know how many items there are; found 0")
        self.vectors = nn.Embedding(items + 1, width, padding_idx=0)
        nn.init.normal_(self.vectors.weight[1:], std=INITIAL_STD)

    def forward(self, numbers: Tensor) -> Tensor:
        """Item numbers int64 [n] → [n, E]."""
        out: Tensor = self.vectors(numbers)
        return out
