"""What hidden states know: probes per layer, and likeness of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import polars as pl
from torch import Tensor

from iisan_core.charts.palette import SERIES, Theme, styled


def probe_chart(probes: Mapping[str, pl.DataFrame], *, title: str = "", theme: Theme = "light") -> go.Figure:
    """Accuracy by layer, one line per property, chance dotted; tables as `probe_layers` makes them."""
    figure = go.Figure()
    for number, (name, table) in enumerate(probes.items()):
        colour = SERIES[number % len(SERIES)]
        figure.add_scatter(
            x=table["layer"],
            y=table["accuracy"],
            mode="lines+markers",
            name=name,
            line={"color": colour},
            hovertemplate=f"{name}, layer %{{x}}: %{{y:.0%}}<extra></extra>",
        )
        figure.add_scatter(
            x=table["layer"],
            y=table["chance"],
            mode="lines",
            line={"color": colour, "dash": "dot", "width": 1},
            showlegend=False,
            hovertemplate=f"{name} by chance: %{{y:.0%}}<extra></extra>",
        )
    layers = sorted({layer for table in probes.values() for layer in table["layer"]})
    styled(figure, title=title, theme=theme)
    figure.update_xaxes(title="layer (0 is the embedding layer's output)", tickvals=layers)
    figure.update_yaxes(title="accuracy on held-out items", range=[0, 1.02], tickformat=".0%")
    return figure.update_layout(height=420, margin={"t": 72})


def similarity_chart(
    similarity: Tensor, rows: Sequence[str], columns: Sequence[str], *, title: str = "", theme: Theme = "light"
) -> go.Figure:
    """A map of likeness [L, L'], 0 to 1, as `layer_similarity` makes it, with a name per row and column."""
    values = similarity.tolist()
    heat = go.Heatmap(
        z=values,
        x=list(columns),
        y=list(rows),
        zmin=0,
        zmax=1,
        colorscale="Cividis",
        text=[[f"{value:.2f}" for value in row] for row in values],
        texttemplate="%{text}",
        colorbar={"title": "CKA"},
        hovertemplate="%{y} and %{x}: %{z:.2f}<extra></extra>",
    )
    figure = styled(go.Figure(heat), title=title, theme=theme)
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    return figure.update_layout(height=140 + 48 * len(rows))
