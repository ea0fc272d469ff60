"""A study's table as one chart."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from app.charts.palette import SERIES, Theme, heat_map, styled

ROW_HEIGHT = 34

TRAINED = "training and test"
"""When damage is done that the model has learned from, too; it starts from the same whole states."""

DASHES = ("solid", "dash", "dot", "dashdot")

AXES = {
    "inter_share": "share of the width that belongs to the network between",
    "bytes_per_item": "cached bytes per item",
}
"""Facts of a row that are a chart's x axis, with what they say."""


def study_chart(table: pl.DataFrame, *, metric: str = "HR@10", title: str = "", theme: Theme = "light") -> go.Figure:
    """Test quality of every row: lines where the study varies a number, else one dot per row.

    `table` as `study_table` makes it; whiskers are one standard deviation over seeds. Several image encoders with
    several text encoders are a map.
    """
    if _is_map(table):
        return scaling_chart(table, metric=metric, title=title, theme=theme)
    if "damage" in table.columns:
        return _damages(table, metric, title=title, theme=theme)
    axis = next((fact for fact in AXES if fact in table.columns), None)
    figure = _rows(table, metric) if axis is None else _line(table, axis, metric)
    return styled(figure, title=title, theme=theme)


def scaling_chart(table: pl.DataFrame, *, metric: str = "HR@10", title: str = "", theme: Theme = "light") -> go.Figure:
    """Test quality of every pair of an image and a text encoder, as a map; both from small to large."""
    by_size = {name: _by_size(table, name) for name in ("image", "text")}
    cells = dict(zip(table.select("backbone_image", "backbone_text").iter_rows(), table[f"test_{metric}"], strict=True))
    values = [[cells.get((image, text)) for text in by_size["text"]] for image in by_size["image"]]
    figure = heat_map(
        values,
        x=by_size["text"],
        y=by_size["image"],
        form="{:.2f}",
        hover="%{y} with %{x}: %{z:.2f}",
        title=title,
        theme=theme,
    )
    figure.update_traces(colorbar={"title": f"{metric} × 100"})
    figure.update_xaxes(title="text encoder, small to large")
    figure.update_yaxes(title="image encoder, small to large")
    return figure.update_layout(height=200 + 70 * len(values))


def search_chart(trials: pl.DataFrame, *, title: str = "", theme: Theme = "light") -> go.Figure:
    """Validation HR@10 of every trial of a search in their order, and the best so far; `trials` as `trials_table`."""
    ordered = trials.sort("trial").filter(pl.col("valid_HR@10").is_not_null())
    best = ordered["valid_HR@10"].cum_max()
    line = {"color": SERIES[0], "shape": "hv"}
    figure = go.Figure(go.Scatter(x=ordered["trial"], y=best, mode="lines", name="best so far", line=line))
    for (name, is_whole), colour in {("whole", True): SERIES[0], ("given up", False): SERIES[1]}.items():
        shown = ordered.filter((pl.col("ended") == "whole") == is_whole)
        figure.add_scatter(
            x=shown["trial"], y=shown["valid_HR@10"], mode="markers", name=name, marker={"color": colour}
        )
    styled(figure, title=title, theme=theme)
    figure.update_xaxes(title="trial")
    figure.update_yaxes(title="validation HR@10 × 100")
    return figure.update_layout(height=420)


def _is_map(table: pl.DataFrame) -> bool:
    """Whether a study of sizes has pictures and texts, and no other modality, and more than one encoder of each."""
    pair = ("backbone_image", "backbone_text")
    if {name for name in table.columns if name.startswith("backbone_")} != set(pair):
        return False
    return all(table[name].n_unique() > 1 for name in pair) and bool(table.select(pair).is_unique().all())


def _by_size(table: pl.DataFrame, modality: str) -> list[str]:
    """Names of a modality's encoders, small to large."""
    ordered = table.sort(f"size_{modality}", maintain_order=True)
    return ordered[f"backbone_{modality}"].unique(maintain_order=True).to_list()


def _rows(table: pl.DataFrame, metric: str) -> go.Figure:
    """One dot per row; rows of one `component`, where the study names them, in one colour."""
    numbered = table.with_row_index("number")
    parts = [numbered]
    if "component" in table.columns:
        parts = numbered.partition_by("component", maintain_order=True)
    figure = go.Figure([_dots(part, metric, colour) for part, colour in zip(parts, cycle(SERIES), strict=False)])
    figure.update_xaxes(title=f"test {metric} × 100")
    figure.update_yaxes(tickvals=list(range(table.height)), ticktext=table["row"].to_list(), autorange="reversed")
    return figure.update_layout(height=130 + ROW_HEIGHT * table.height, showlegend=len(parts) > 1)


def _dots(rows: pl.DataFrame, metric: str, colour: str) -> go.Scatter:
    return go.Scatter(
        x=rows[f"test_{metric}"],
        y=rows["number"],
        error_x={"array": _deviations(rows, metric), "thickness": 1.5, "width": 5},
        mode="markers",
        name=rows["component"][0] if "component" in rows.columns else "",
        marker={"size": 11, "color": colour},
        customdata=rows["row"],
        hovertemplate="%{customdata}: %{x:.2f}<extra></extra>",
    )


def _line(table: pl.DataFrame, axis: str, metric: str) -> go.Figure:
    figure = go.Figure(_points(table, axis, metric, name="", line={"color": SERIES[0]}))
    figure.update_xaxes(title=AXES[axis], tickformat=".0%" if "share" in axis else None)
    figure.update_yaxes(title=f"test {metric} × 100")
    return figure.update_layout(height=460, showlegend=False)


def _damages(table: pl.DataFrame, metric: str, *, title: str, theme: Theme) -> go.Figure:
    """One panel per modality, one colour per kind of damage, one dash per time of it; lines start whole."""
    whole, hurt = table.filter(pl.col("damage").is_null()), table.filter(pl.col("damage").is_not_null())
    modalities = hurt["modality"].unique(maintain_order=True).to_list()
    kinds, times = (hurt[fact].unique(maintain_order=True).to_list() for fact in ("damage", "when"))
    figure = make_subplots(cols=len(modalities), shared_yaxes=True, subplot_titles=modalities, horizontal_spacing=0.04)
    for (modality, kind, when), points in hurt.group_by("modality", "damage", "when", maintain_order=True):
        start = whole.filter((pl.col("when") == when) | (pl.lit(when) == TRAINED)).head(1)
        line = {"color": SERIES[kinds.index(kind)], "dash": DASHES[times.index(when)]}
        trace = _points(pl.concat([start, points]), "share", metric, name=f"{kind}, {when}", line=line)
        first = modality == modalities[0]
        figure.add_trace(
            trace.update(legendgroup=trace.name, showlegend=first), row=1, col=modalities.index(modality) + 1
        )
    styled(figure, title=title, theme=theme)
    figure.update_xaxes(title="share of the items that are damaged", tickformat=".0%")
    figure.update_yaxes(title=f"test {metric} × 100", col=1)
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top"}
    return figure.update_layout(height=520, legend=legend, margin={"t": 90 if title else 40, "b": 130})


def _points(table: pl.DataFrame, axis: str, metric: str, *, name: str, line: dict[str, Any]) -> go.Scatter:
    ordered = table.sort(axis)
    return go.Scatter(
        x=ordered[axis],
        y=ordered[f"test_{metric}"],
        error_y={"array": _deviations(ordered, metric), "thickness": 1.5, "width": 4},
        mode="lines+markers",
        name=name,
        line=line,
        customdata=ordered["row"],
        hovertemplate="%{customdata}: %{y:.2f}<extra></extra>",
    )


def _deviations(table: pl.DataFrame, metric: str) -> list[float]:
    return table[f"test_{metric}_deviation"].fill_null(0.0).to_list()
