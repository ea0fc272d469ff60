"""The learned gates, block by block: how much each source gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from iisan_core.charts.palette import Theme, styled, tower_colour

_SO_FAR_COLOUR = {"light": "#c3cad4", "dark": "#475263"}


def gates_chart(
    shares: Mapping[str, Sequence[float]], labels: Sequence[str], *, title: str = "", theme: Theme = "light"
) -> go.Figure:
    """One stacked bar per block, the deepest on top.

    shares  source → its share per block, 0 to 1, as in `iisan_core.model.gates`; a source that is no tower is grey
    labels  one per block, such as the layers that it reads
    """
    figure = go.Figure()
    for source, values in shares.items():
        colour = _SO_FAR_COLOUR[theme] if source == "so far" else tower_colour(source)
        figure.add_bar(
            x=list(values),
            y=list(labels),
            name=source,
            orientation="h",
            marker={"color": colour, "cornerradius": 3},
            text=[f"{100 * value:.0f} %" if value >= 0.08 else "" for value in values],
            textposition="inside",
            insidetextanchor="middle",
            hovertemplate="%{y}: %{x:.1%}<extra>" + source + "</extra>",
        )
    styled(figure, title=title, theme=theme)
    figure.update_layout(barmode="stack", height=110 + 34 * len(labels), bargap=0.3, margin={"t": 64 if title else 32})
    figure.update_layout(legend={"y": 1.0, "traceorder": "normal"})
    figure.update_xaxes(range=[0, 1], tickformat=".0%", showgrid=False, zeroline=False)
    return figure.update_yaxes(showgrid=False, type="category")
