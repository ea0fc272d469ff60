"""`item_ids.parquet`: one row per row of the array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from iisan_core.cache.manifest import ITEM_IDS

ITEM_COLUMNS = {"item_id": pl.String, "present": pl.Boolean, "problem": pl.String, "fingerprint": pl.String}


def read_item_ids(folder: Path, *, rows: int, columns: Sequence[str] = tuple(ITEM_COLUMNS)) -> pl.DataFrame:
    """`columns` of the first `rows` rows: what stands behind them belongs to an append that is not finished.

    Raises `OSError` or `polars.exceptions.PolarsError` where the file is absent or damaged.
    """
    return pl.read_parquet(folder / ITEM_IDS, columns=list(columns), n_rows=rows)
