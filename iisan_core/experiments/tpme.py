"""TPME: time, parameters and memory as one figure over a set of methods (method, section 7)."""

from __future__ import annotations

import polars as pl

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
    parts = [weight * _normalised(inside, name) for name, weight in WEIGHTS.items()]
    return table.with_columns(tpme=pl.when(measured).then(pl.sum_horizontal(parts)))


def _normalised(inside: pl.DataFrame, name: str) -> pl.Expr:
    values = inside[name].cast(pl.Float64).to_numpy()
    low, spread = float(values.min()), float(values.max() - values.min())
    return (pl.col(name) - low) / spread if spread else pl.lit(0.0)
