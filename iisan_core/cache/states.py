"""The bytes of `states.bin`: row-major `[items, ΣD]`, little-endian, no header."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iisan_core.cache.manifest import CacheManifest, Part, StoredDtype

TORCH_DTYPES: dict[str, torch.dtype] = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
}
# NumPy has no bfloat16; its bits travel as whole numbers.
NUMPY_DTYPES: dict[str, str] = {"float16": "<f2", "bfloat16": "<u2", "float32": "<f4"}
BLOCK_BYTES = 1 << 24


def as_bytes(states: Tensor) -> bytes:
    """The bytes of a tensor's rows, as they stand in the file."""
    raw: bytes = states.cpu().contiguous().view(torch.uint8).numpy().tobytes()
    return raw


def as_tensor(rows: NDArray[np.generic], dtype: StoredDtype) -> Tensor:
    """Rows read from the file as a tensor of the stored dtype; shares their memory."""
    return torch.from_numpy(rows).view(TORCH_DTYPES[dtype])


def map_states(path: Path, manifest: CacheManifest) -> NDArray[np.generic]:
    """The array, mapped read-only; nothing is read before rows are asked for."""
    shape = (manifest.items, manifest.row_width)
    return np.memmap(path, dtype=NUMPY_DTYPES[manifest.dtype], mode="r", shape=shape)


def sha256_of_rows(path: Path, part: Part, *, row_bytes: int) -> str:
    """Hexadecimal SHA-256 of a part's bytes in the file, read in blocks."""
    digest = hashlib.sha256()
    left = (part.stop - part.start) * row_bytes
    with path.open("rb") as stream:
        stream.seek(part.start * row_bytes)
        while left and (block := stream.read(min(left, BLOCK_BYTES))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()
