"""What methods cost: time against memory, trainable parameters as size (IISAN, figure 1)."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go
import polars as pl

from iisan_core.charts.palette import SERIES, Theme, styled
from iisan_core.errors import RefusedError

NEEDED = ("method", "seconds_per_epoch", "peak_memory_bytes", "trainable_parameters")
SHOWN = ("test_HR@10", "test_NDCG@10")
"""Shown on pointing, where the table has them."""
LARGEST, SMALLEST = 72.0, 12.0
"""Diameters of bubbles in pixels."""


def efficiency_figure(table: pl.DataFrame, *, title: str = "", theme: Theme = "light") -> go.Figure:
    """Bubbles over seconds per epoch and peak memory, both logarithmic; a bubble's area grows with the parameters.

    `table` has the columns `method`, `seconds_per_epoch`, `peak_memory_bytes` and `trainable_parameters`; test
    metrics and `tpme` are shown on pointing where it has them. Rows that lack a figure are left out.

    Raises:
        RefusedError: a column is missing, or no row has all figures.
    """
    missing = [name for name in NEEDED if name not in table.columns]
    if missing:
        raise RefusedError(f"the efficiency figure needs the columns {', '.join(NEEDED)}; {missing[0]!r} is missing")
    rows = table.drop_nulls(NEEDED)
    if rows.is_empty():
        raise RefusedError("the efficiency figure needs at least one method with time, memory and parameters")
    most = max(rows["trainable_parameters"].to_list())
    figure = go.Figure([_bubble(row, n, most) for n, row in enumerate(rows.iter_rows(named=True))])
    styled(figure, title=title, theme=theme)
    figure.update_xaxes(title="seconds per epoch", **_logarithmic(rows["seconds_per_epoch"].to_list()))
    figure.update_yaxes(title="peak memory, GB", **_logarithmic([b / 1e9 for b in rows["peak_memory_bytes"].to_list()]))
    return figure.update_layout(showlegend=False)


def _bubble(row: dict[str, Any], number: int, most: int) -> go.Scatter:
    return go.Scatter(
        x=[row["seconds_per_epoch"]],
        y=[row["peak_memory_bytes"] / 1e9],
        mode="markers+text",
        name=row["method"],
        text=[row["method"]],
        textposition="top center",
        marker={"size": _diameter(row["trainable_parameters"], most), "color": SERIES[number % len(SERIES)]},
        hovertext=[_said(row)],
        hoverinfo="text",
        cliponaxis=False,
    )


def _diameter(parameters: int, most: int) -> float:
    """Area by parameters; the smallest can still be pointed at."""
    return max(SMALLEST, LARGEST * math.sqrt(parameters / most))


def _said(row: dict[str, Any]) -> str:
    lines = [
        f"<b>{row['method']}</b>",
        f"{row['seconds_per_epoch']:,.4g} s per epoch{' (extrapolated)' if row.get('extrapolated') else ''}",
        f"{row['peak_memory_bytes'] / 1e9:,.3g} GB",
        f"{row['trainable_parameters']:,} trainable parameters",
    ]
    lines += [
        f"{name.removeprefix('test_')} {row[name]:.2f}" for name in row if name in SHOWN and row[name] is not None
    ]
    if row.get("tpme") is not None:
        lines.append(f"TPME {row['tpme']:.3f} over this set")
    return "<br>".join(lines)


def _logarithmic(values: list[float]) -> dict[str, Any]:
    """Half a decade of room on each side, so that no bubble or name is cut."""
    low, high = math.log10(min(values)), math.log10(max(values))
    return {"type": "log", "range": [low - 0.5, high + 0.5]}
