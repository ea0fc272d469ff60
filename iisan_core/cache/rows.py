"""The rows of a cache as bytes of its file: number formats, reading by row, checksums."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from iisan_core.cache.manifest import ITEM_IDS, CacheManifest, Shard
from iisan_core.config.schema import StoredDtype
from iisan_core.errors import IisanError

ITEM_COLUMNS = {"item_id": pl.String, "present": pl.Boolean, "problem": pl.String, "fingerprint": pl.String}

TORCH_DTYPES: dict[str, torch.dtype] = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
}

# NumPy has no bfloat16; its bits travel as whole numbers.
NUMPY_DTYPES: dict[str, str] = {"float16": "<f2", "bfloat16": "<u2", "float32": "<f4"}

BLOCK_BYTES = 1 << 24


def read_item_ids(folder: Path, *, rows: int, columns: Sequence[str] = tuple(ITEM_COLUMNS)) -> pl.DataFrame:
    """`columns` of the first `rows` rows: what stands behind them belongs to an append that is not finished.

    Raises `OSError` or `polars.exceptions.PolarsError` where the file is absent or damaged.
    """
    return pl.read_parquet(folder / ITEM_IDS, columns=list(columns), n_rows=rows)


def as_bytes(states: Tensor) -> bytes:
    """The bytes of a tensor's rows, as they stand in the file."""
    raw: bytes = states.cpu().contiguous().view(torch.uint8).numpy().tobytes()
    return raw


def as_tensor(rows: NDArray[np.generic], dtype: StoredDtype) -> Tensor:
    """Rows read from the file as a tensor of the stored dtype; shares their memory."""
    return torch.from_numpy(rows).view(TORCH_DTYPES[dtype])


def read_rows(path: Path, rows: NDArray[np.int64], *, manifest: CacheManifest) -> NDArray[np.generic]:
    """Rows `[n]` of the array, in the order asked for: `[n, ΣD]` in the file's number format.

    Read by position, neighbours at once. A memory map would not be quicker, and every page that it touches stays
    resident, with fifteen more around it. Raises `IisanError` if the file has become shorter meanwhile.
    """
    found = np.empty((len(rows), manifest.row_width), NUMPY_DTYPES[manifest.dtype])
    buffer, width = found.reshape(-1).view(np.uint8).data, manifest.row_bytes
    # Runs of rows that follow each other in the file and are asked for one after the other.
    starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1).tolist()
    with path.open("rb", buffering=0) as stream:
        for start, stop in pairwise([*starts, len(rows)]):
            place, wanted = int(rows[start]) * width, buffer[start * width : stop * width]
            while wanted and (count := os.preadv(stream.fileno(), [wanted], place)):
                place, wanted = place + count, wanted[count:]
            if wanted:
                raise IisanError(f"{path} has become shorter while it was read; run `iisan extract` again")
    return found


def sha256_of_rows(path: Path, shard: Shard, *, row_bytes: int) -> str:
    """Hexadecimal SHA-256 of a shard's bytes in the file, read in blocks."""
    digest = hashlib.sha256()
    left = (shard.stop - shard.start) * row_bytes
    with path.open("rb") as stream:
        stream.seek(shard.start * row_bytes)
        while left and (block := stream.read(min(left, BLOCK_BYTES))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()
