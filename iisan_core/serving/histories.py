"""Histories as the encoder reads them, and the user states that it makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from iisan_core.model.user_encoder import UserEncoder
from iisan_core.ranking import check_finite
from iisan_core.training.evaluation import user_table


@dataclass(frozen=True)
class HistoryReader:
    """Makes user states of numbered histories."""

    encoder: UserEncoder
    table: Tensor
    """Item vectors, float32 [N + 1, E]; row 0 is padding."""
    inputs: int
    """How many of the newest items are read."""

    def states(self, histories: Sequence[Sequence[int]]) -> Tensor:
        """Histories, oldest item first and none of them empty → [B, E].

        Raises `IisanError` where a score by them might not be finite.
        """
        states = user_table(self.encoder, self.table, left_padded(histories, length=self.inputs))
        check_finite(states, self._longest)
        return states

    @cached_property
    def _longest(self) -> Tensor:
        """[1, E]: no item's vector is longer, nor its score larger than this one's could be."""
        return self.table[self.table.norm(dim=1).argmax()].unsqueeze(0)


def left_padded(histories: Sequence[Sequence[int]], *, length: int) -> Tensor:
    """The newest `length` of each history, int64 [B, length], padded with 0 on the left."""
    newest = [history[-length:] for history in histories]
    lengths = np.fromiter(map(len, newest), dtype=np.int64, count=len(newest))
    padded = np.zeros((len(newest), length), dtype=np.int64)
    padded[np.arange(length) >= length - lengths[:, None]] = np.fromiter(chain.from_iterable(newest), dtype=np.int64)
    return torch.from_numpy(padded)
