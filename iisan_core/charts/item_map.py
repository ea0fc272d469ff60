"""All items on a plane: near means that the model takes them for alike."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import plotly.graph_objects as go
import polars as pl

from iisan_core.charts.palette import SERIES, Theme, styled

MOST_KINDS = len(SERIES)
_COUNTS = {"light": "Viridis", "dark": "Viridis"}
_OTHER = {"light": "#b4bcc8", "dark": "#56606f"}
HEIGHT = 620


def item_map(
    points: pl.DataFrame, *, colour: str, marked: Collection[str] = (), title: str = "", theme: Theme = "light"
) -> go.Figure:
    """A point per item, to be hovered.

    points  `item_id`, `title` (null where there is none), `x`, `y`, and the column `colour`: numbers (shown on a
            logarithmic scale from 1) or kinds, of which the most frequent have colours of their own
    marked  item ids drawn larger, with a ring
    """
    figure = go.Figure()
    if points.schema[colour].is_numeric():
        _add_numbers(figure, points, colour, theme)
    else:
        _add_kinds(figure, points, colour, theme)
    _add_marked(figure, points.filter(pl.col("item_id").is_in(list(marked))), theme)
    styled(figure, title=title, theme=theme)
    figure.update_layout(height=HEIGHT, margin={"l": 8, "r": 8, "b": 8, "t": 56}, legend={"itemsizing": "constant"})
    figure.update_xaxes(visible=False)
    return figure.update_yaxes(visible=False)


def _add_numbers(figure: go.Figure, points: pl.DataFrame, colour: str, theme: Theme) -> None:
    values = np.log10(points[colour].fill_null(0).clip(lower_bound=1).to_numpy())
    top = max(float(values.max(initial=0)), 1.0)
    ticks = list(range(int(top) + 1))
    marker = {
        "color": values,
        "colorscale": _COUNTS[theme],
        "cmin": 0,
        "cmax": top,
        "colorbar": {
            "title": {"text": colour},
            "tickvals": ticks,
            "ticktext": [f"{10**t:,}" for t in ticks],
            "len": 0.6,
        },
    }
    _add(figure, points, colour, marker, name="items", legend=False)


def _add_kinds(figure: go.Figure, points: pl.DataFrame, colour: str, theme: Theme) -> None:
    counted = points[colour].drop_nulls().value_counts(sort=True)
    kinds = counted[colour].head(MOST_KINDS).to_list()
    others = points.filter(~pl.col(colour).is_in(kinds) | pl.col(colour).is_null())
    if not others.is_empty():
        _add(figure, others, colour, {"color": _OTHER[theme]}, name="others" if kinds else "items")
    for kind, shade in zip(kinds, SERIES, strict=False):
        _add(figure, points.filter(pl.col(colour) == kind), colour, {"color": shade}, name=_plain(str(kind))[:40])


def _add_marked(figure: go.Figure, points: pl.DataFrame, theme: Theme) -> None:
    if points.is_empty():
        return
    ink = {"light": "#1f2933", "dark": "#ffffff"}[theme]
    marker = {"size": 15, "color": "rgba(0,0,0,0)", "line": {"width": 3, "color": ink}}
    _add(figure, points, None, marker, name="marked")


def _add(
    figure: go.Figure,
    points: pl.DataFrame,
    colour: str | None,
    marker: dict[str, object],
    *,
    name: str,
    legend: bool = True,
) -> None:
    titles = [_plain(t or i)[:80] for i, t in points.select("item_id", "title").iter_rows()]
    more = "" if colour is None else f"<br>{_plain(colour)}: " + "%{customdata[1]}"
    shown = points[colour].to_list() if colour else [None] * points.height
    figure.add_scattergl(
        x=points["x"].to_numpy(),
        y=points["y"].to_numpy(),
        mode="markers",
        name=name,
        showlegend=legend,
        marker={"size": 6, "opacity": 0.8} | marker,
        text=titles,
        customdata=list(zip(points["item_id"].to_list(), shown, strict=True)),
        hovertemplate="%{text}" + more + "<extra></extra>",
    )


def _plain(text: str) -> str:
    """Plotly reads some HTML in texts; a title is shown as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
