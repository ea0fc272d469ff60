"""TPME: time, parameters and memory as one figure over a set of methods (method, section 7)."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iisan_core.errors import RefusedError

WEIGHTS = {"seconds_per_epoch": 0.45, "trainable_parameters": 0.10, "peak_memory_bytes": 0.45}

ONE_OF = ("dataset", "batch_size", "device")
"""Columns that must be the same for all methods of a set."""


def tpme(table: pl.DataFrame) -> pl.DataFrame:
    """Add the column `tpme`, lower is better, to a leaderboard or seed table; its raw figures stand beside it.

    Each of time per epoch, trainable parameters and peak memory is min-max normalised over the set; a column without
    spread counts 0. Rows that lack one of them are not in the set and get null.

    Raises:
        RefusedError: fewer than two methods have the figures, or they differ in dataset, batch size or device.
    """
    measured = pl.all_horizontal(pl.col(name).is_not_null() for name in WEIGHTS)
    inside = table.filter(measured)
    if inside.height < 2:
        raise RefusedError(
            f"TPME compares methods, and {inside.height} of {table.height} runs has time, parameters and memory; "
            "give at least two"
        )
    for column in ONE_OF:
        found = inside[column].unique(maintain_order=True).to_list()
        if len(found) > 1 or found == [None]:
            raise RefusedError(
                f"TPME holds within one {column.replace('_', ' ')}, these runs have {found}; compare fewer runs"
            )
    total = sum(
        (weight * _normalised(inside[name].cast(pl.Float64).to_numpy()) for name, weight in WEIGHTS.items()),
        start=np.zeros(inside.height),
    )
    values = np.full(table.height, np.nan)
    values[table.select(measured).to_series().to_numpy()] = total
    return table.with_columns(tpme=pl.Series(values).fill_nan(None))


def _normalised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = values.max() - values.min()
    return (values - values.min()) / spread if spread else np.zeros_like(values)
