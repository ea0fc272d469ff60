"""How trainings went: loss and validation quality by epoch, one line a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl

from iisan_core.charts.palette import GOOD, SERIES, Theme, styled

SCHEMA = {
    "epoch": pl.Int64,
    "loss": pl.Float64,
    "HR@10": pl.Float64,
    "NDCG@10": pl.Float64,
    "seconds": pl.Float64,
    "at": pl.Float64,
}


def epoch_table(events: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """The finished epochs of a run's events: `epoch`, `loss`, `HR@10`, `NDCG@10` (validation × 100), `seconds`, `at`.

    `seconds` an epoch's training took, `at` it ended (seconds since 1970; null in runs that did not note it).
    """
    rows = [
        (e["epoch"], e["loss"], e["valid"]["HR@10"], e["valid"]["NDCG@10"], e["seconds"], e.get("at"))
        for e in events
        if e["event"] == "epoch"
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").unique("epoch", keep="last").sort("epoch")


def loss_chart(runs: Mapping[str, pl.DataFrame], *, title: str = "", theme: Theme = "light") -> go.Figure:
    """Training loss by epoch; `runs`: name → `epoch_table`."""
    figure = go.Figure([_line(name, table, "loss", number) for number, (name, table) in enumerate(runs.items())])
    return _by_epoch(figure, runs, "training loss", title=title, theme=theme)


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
