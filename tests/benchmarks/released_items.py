"""Hidden states as the released programs keep them: a file per item and modality, all layers, float32.

Theirs are pickled tensors; numpy's plain files take the place of these here, and are no slower to read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

MODALITIES = ("image", "text")


def write_item(folder: Path, item: int, states: dict[str, Tensor]) -> None:
    """Modality → states of one item [layers, D]."""
    for name, tensor in states.items():
        np.save(folder / f"{name}-{item}.npy", tensor.float().numpy())


class TrainingSequences(Dataset):
    """One user at a time: item numbers, which inputs are real, and the states of every slot, padding as zeros."""

    def __init__(self, sequences: np.ndarray, folder: Path, *, shape: tuple[int, int]) -> None:
        self.sequences = sequences
        self.folder = folder
        self.shape = shape

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, user: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        items = self.sequences[user]
        mask = torch.from_numpy((items[:-1] > 0).astype(np.float32))
        image, text = (torch.stack([self._load(name, item) for item in items.tolist()]) for name in MODALITIES)
        return torch.from_numpy(items), mask, image, text

    def _load(self, name: str, item: int) -> Tensor:
        if item == 0:
            return torch.zeros(self.shape)
        return torch.from_numpy(np.load(self.folder / f"{name}-{item}.npy"))
