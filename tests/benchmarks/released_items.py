"""Hidden states as the released programs keep them: a file per item and modality, all layers, float32.

The files are theirs in form, too: tensors pickled by `torch.save`. The library itself keeps no pickles; these are
written by the benchmark and read with `weights_only`, so that nothing in a file is run.
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
        torch.save(tensor.float().clone(), _path(folder, name, item))


def _path(folder: Path, name: str, item: int) -> Path:
    return folder / f"{name}_{item}.pt"


class TrainingSequences(Dataset):
    """One user at a time: item numbers, which inputs are real, and the states of every slot, padding as zeros."""

    def __init__(self, sequences: np.ndarray, folder: Path) -> None:
        self.sequences = sequences
        self.folder = folder

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, user: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        items = self.sequences[user]
        mask = torch.from_numpy((items[:-1] > 0).astype(np.float32))
        image, text = (self._slots(name, items[items > 0].tolist(), len(items)) for name in MODALITIES)
        return torch.from_numpy(items), mask, image, text

    def _slots(self, name: str, items: list[int], slots: int) -> Tensor:
        loaded = [torch.load(_path(self.folder, name, item), weights_only=True) for item in items]
        padding = [torch.zeros(loaded[0].shape)] * (slots - len(items))
        return torch.stack(padding + loaded)
