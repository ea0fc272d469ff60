"""How trainings went by epoch, one line a run; and what methods cost, time against memory (IISAN, figure 1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl

from app.charts.palette import GOOD, SERIES, Theme, styled
from iisan_core.errors import RefusedError

SCHEMA = {
    "epoch": pl.Int64,
    "loss": pl.Float64,
    "HR@10": pl.Float64,
    "NDCG@10": pl.Float64,
    "seconds": pl.Float64,
    "at": pl.Float64,
}

NEEDED = ("method", "seconds_per_epoch", "peak_memory_bytes", "trainable_parameters")

SHOWN = ("test_HR@10", "test_NDCG@10")
"""Shown on pointing, where the table has them."""

LARGEST, SMALLEST = 72.0, 12.0
"""Diameters of bubbles in pixels."""


def epoch_table(events: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """The finished epochs of a run's events: `epoch`, `loss`, `HR@10`, `NDCG@10` (validation × 100), `seconds`, `at`.

    `seconds` an epoch's training took, `at` it ended (seconds since 1970; null in runs that did not note it). Raises
    `RefusedError` where an epoch lacks one of the others.
    """
    epochs = [e for e in events if e["event"] == "epoch"]
    try:
        rows = [
            (e["epoch"], e["loss"], e["valid"]["HR@10"], e["valid"]["NDCG@10"], e["seconds"], e.get("at"))
            for e in epochs
        ]
    except KeyError as lacking:
        raise RefusedError(f"metrics.jsonl has an epoch without {lacking}; train the run again") from None
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").unique("epoch", keep="last").sort("epoch")


def smoothed(table: pl.DataFrame, weight: float) -> pl.DataFrame:
    """An `epoch_table` with loss and quality averaged over the epochs before; `weight` in [0, 1) is what these keep.

    An average with bias taken out: the first epoch stays as it is.
    """
    if not weight:
        return table
    figures = pl.col("loss", "HR@10", "NDCG@10")
    return table.with_columns(figures.ewm_mean(alpha=1 - weight, adjust=True))


def loss_chart(
    runs: Mapping[str, pl.DataFrame], *, title: str = "", log: bool = False, theme: Theme = "light"
) -> go.Figure:
    """Training loss by epoch, on a logarithmic axis with `log`; `runs`: name → `epoch_table`."""
    figure = go.Figure([_line(name, table, "loss", number) for number, (name, table) in enumerate(runs.items())])
    figure = _by_epoch(figure, runs, "training loss", title=title, theme=theme)
    return figure.update_yaxes(type="log", dtick="D1") if log else figure


def quality_chart(
    runs: Mapping[str, pl.DataFrame], *, metric: str = "HR@10", title: str = "", theme: Theme = "light"
) -> go.Figure:
    """Validation quality (× 100) by epoch, every run's best epoch marked; `runs`: name → `epoch_table`."""
    figure = go.Figure()
    for number, (name, table) in enumerate(runs.items()):
        figure.add_trace(_line(name, table, metric, number))
        if table.height:
            figure.add_trace(_best(table, metric))
    figure = _by_epoch(figure, runs, f"validation {metric}", title=title, theme=theme)
    return figure.update_yaxes(rangemode="tozero")


def _line(name: str, table: pl.DataFrame, column: str, number: int) -> go.Scatter:
    return go.Scatter(
        x=table["epoch"].to_list(),
        y=table[column].to_list(),
        name=name,
        mode="lines+markers" if table.height < 40 else "lines",
        line={"color": SERIES[number % len(SERIES)], "width": 2},
        marker={"size": 5},
        hovertemplate=f"epoch %{{x}}: {column} %{{y:.4~f}}<extra></extra>",
    )


def _best(table: pl.DataFrame, metric: str) -> go.Scatter:
    best = table.row(int(table[metric].arg_max() or 0), named=True)
    return go.Scatter(
        x=[best["epoch"]],
        y=[best[metric]],
        mode="markers+text",
        text=[f"{best[metric]:.2f}"],
        textposition="top center",
        cliponaxis=False,
        marker={"size": 11, "color": GOOD, "symbol": "star"},
        showlegend=False,
        hovertemplate=f"best: epoch %{{x}}, {metric} %{{y:.2f}}<extra></extra>",
    )


def _by_epoch(figure: go.Figure, runs: Mapping[str, pl.DataFrame], y: str, *, title: str, theme: Theme) -> go.Figure:
    figure = styled(figure, title=title, theme=theme)
    figure.update_layout(showlegend=len(runs) > 1)
    last = max((int(table["epoch"].max() or 0) for table in runs.values()), default=0)  # type: ignore[arg-type]
    figure.update_xaxes(title="epoch", range=[0.5, max(last, 2) + 0.5], tick0=0, dtick=_tick(last))
    return figure.update_yaxes(title=y)


def _tick(last: int) -> int:
    """Epochs between two marks of the axis: a round number, and at most eight of them."""
    return next(step * 10**power for power in range(9) for step in (1, 2, 5) if last <= 8 * step * 10**power)


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
