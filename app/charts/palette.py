"""One palette and one look for every chart: told apart by colour-blind eyes, readable on light and dark pages.

The series colours are Okabe and Ito's (Color Universal Design, 2008), their black left out because dark pages hide it.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Literal, TypeAlias

import plotly.graph_objects as go

Theme: TypeAlias = Literal["light", "dark"]

SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
"""Colours of series, in the order in which they are taken."""

TOWERS = {
    "image": "#E69F00",
    "text": "#0072B2",
    "joint": "#882255",
    "inter": "#009E73",
    "ids": "#CC79A7",
    "frozen image": "#F0E442",
    "frozen text": "#56B4E9",
    "together": "#D55E00",
    "bias": "#999999",
}
"""A tower, modality or part of a score has the same colour in every chart."""

GOOD, BAD = "#009E73", "#D55E00"

INK = {"light": "#1f2933", "dark": "#e6e9ee"}

_LINES = {"light": "#d5dae1", "dark": "#3a4250"}

_AXIS_LINES = ("gridcolor", "linecolor", "zerolinecolor")

_FONT = "Inter, system-ui, -apple-system, Segoe UI, sans-serif"


def tower_colour(name: str) -> str:
    """The colour of a tower or modality; those beyond the usual ones share the series colours by their name."""
    return TOWERS.get(name) or SERIES[sum(name.encode()) % len(SERIES)]


def styled(figure: go.Figure, *, title: str = "", theme: Theme = "light") -> go.Figure:
    """The same figure in the workbench's look; the page's own background shows through."""
    axis = {**dict.fromkeys(_AXIS_LINES, _LINES[theme]), "automargin": True}
    figure.update_layout(
        template="none",
        colorway=list(SERIES),
        font={"family": _FONT, "size": 13, "color": INK[theme]},
        title={"text": title, "x": 0, "xanchor": "left", "font": {"size": 16}},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 56, "r": 16, "t": 48 if title else 16, "b": 48},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "right", "x": 1},
        hoverlabel={"font": {"family": _FONT}},
    )
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure


def heat_map(
    values: Sequence[Sequence[float | None]],
    *,
    x: Sequence[str],
    y: Sequence[str],
    form: str,
    hover: str,
    title: str = "",
    theme: Theme = "light",
) -> go.Figure:
    """A map of named rows and columns with its numbers written in it, such as `{:.2f}`; None leaves a cell empty."""
    heat = go.Heatmap(
        z=values,
        x=list(x),
        y=list(y),
        colorscale="Cividis",
        text=[["" if value is None else form.format(value) for value in row] for row in values],
        texttemplate="%{text}",
        hovertemplate=f"{hover}<extra></extra>",
    )
    figure = styled(go.Figure(heat), title=title, theme=theme)
    figure.update_xaxes(type="category", showgrid=False)
    return figure.update_yaxes(type="category", showgrid=False)


def plain(text: str) -> str:
    """Plotly reads some HTML in texts; what somebody wrote is shown as it is."""
    return html.escape(text, quote=False)


def colours_of(figure: go.Figure, theme: Theme) -> dict[str, str]:
    """What `styled` makes of the theme, in the dotted names of plotly.js: its `relayout` turns a drawn chart over."""
    axes = [name for name in figure.to_plotly_json()["layout"] if name.startswith(("xaxis", "yaxis"))]
    lines = {f"{axis}.{line}": _LINES[theme] for axis in axes for line in _AXIS_LINES}
    return {"font.color": INK[theme], **lines}
