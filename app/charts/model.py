"""The model in pictures, from what goes in to what it learns from.

What hidden states know, which layers are kept and what reads them, the learned gates, and the loss of a small batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go
import polars as pl

from app.charts.palette import INK, SERIES, Theme, heat_map, plain, styled, tower_colour

if TYPE_CHECKING:
    from torch import Tensor

_SO_FAR_COLOUR = {"light": "#c3cad4", "dark": "#475263"}

_RUNG = {"light": "#c9d1db", "dark": "#46525f"}

HALF = 0.3
"""Half a rung's length; ladders stand one apart."""

HEIGHT = 470


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
    hover = "%{y} and %{x}: %{z:.2f}"
    figure = heat_map(similarity.tolist(), x=columns, y=rows, form="{:.2f}", hover=hover, title=title, theme=theme)
    figure.update_traces(zmin=0, zmax=1, colorbar={"title": "CKA"})
    figure.update_yaxes(autorange="reversed")
    return figure.update_layout(height=140 + 48 * len(rows))


@dataclass(frozen=True)
class Ladder:
    """A backbone for one modality."""

    modality: str
    name: str
    widths: tuple[int, ...]
    """D of each layer 0 … n."""
    kept: tuple[int, ...]
    """Kept layers, ascending."""

    def height(self, layer: int) -> float:
        """0 for layer 0, 1 for the last one, so that ladders of unequal depth end side by side."""
        return layer / max(len(self.widths) - 1, 1)


def ladder_chart(ladders: Sequence[Ladder], *, title: str = "", theme: Theme = "light") -> go.Figure:
    """Ladders from left to right, kept rungs coloured; two or more have inter blocks between the first and the rest.

    An inter block reads one kept layer of every modality, last with last (method, section 3); a diamond is a dimension
    transformation layer (DTL), which brings a wider modality to the narrowest one's width.
    """
    figure = go.Figure()
    for place, ladder in enumerate(ladders):
        _draw_ladder(figure, ladder, 2 * place, theme)
    blocks = min((len(ladder.kept) for ladder in ladders), default=0) if len(ladders) > 1 else 0
    if blocks:
        _draw_inter(figure, ladders, blocks, theme)
    styled(figure, title=title, theme=theme)
    most = 2 * max(len(ladders) - 1, 0)
    figure.update_layout(height=HEIGHT, showlegend=False, margin={"l": 8, "r": 8, "b": 8}, hovermode="closest")
    figure.update_xaxes(visible=False, range=[-1, most + 1])
    return figure.update_yaxes(visible=False, range=[-0.08, 1.2])


def _draw_ladder(figure: go.Figure, ladder: Ladder, x: float, theme: Theme) -> None:
    for side in (-HALF, HALF):
        _line(figure, [x + side, x + side], [0, 1], _RUNG[theme], 2)
    for layer in range(len(ladder.widths)):
        y, kept = ladder.height(layer), layer in ladder.kept
        colour = tower_colour(ladder.modality) if kept else _RUNG[theme]
        _line(figure, [x - HALF, x + HALF], [y, y], colour, 7 if kept else 2)
    figure.add_scatter(
        x=[x] * len(ladder.kept),
        y=[ladder.height(layer) for layer in ladder.kept],
        mode="markers",
        marker={"size": 18, "color": tower_colour(ladder.modality)},
        customdata=[(layer, ladder.widths[layer]) for layer in ladder.kept],
        hovertemplate="layer %{customdata[0]}, width %{customdata[1]:,}<extra>" + plain(ladder.modality) + "</extra>",
    )
    for layer in ladder.kept:
        text = {"text": str(layer), "showarrow": False, "font": {"color": "white", "size": 11}}
        figure.add_annotation(x=x, y=ladder.height(layer), **text)
    last, shown = len(ladder.widths) - 1, ladder.widths[-1]
    said = f"<b>{plain(ladder.modality)}</b> · {plain(ladder.name)}<br>{last} layers, width {shown:,}"
    figure.add_annotation(x=x, y=1.13, text=said, showarrow=False, font={"color": INK[theme], "size": 13})


def _draw_inter(figure: go.Figure, ladders: Sequence[Ladder], blocks: int, theme: Theme) -> None:
    colour, width = tower_colour("inter"), min(ladder.widths[ladder.kept[-1]] for ladder in ladders)
    ys = [(block + 0.5) / blocks for block in range(blocks)]
    _line(figure, [1, 1], [ys[0], ys[-1]], colour, 3)
    for block, y in enumerate(ys):
        for place, ladder in enumerate(ladders):
            layer = ladder.kept[block - blocks]
            edge = 2 * place + (HALF if place == 0 else -HALF)
            _line(figure, [edge, 1], [ladder.height(layer), y], tower_colour(ladder.modality), 1.5)
            if ladder.widths[layer] != width:
                _draw_dtl(
                    figure, (edge + 1) / 2, (ladder.height(layer) + y) / 2, f"{ladder.widths[layer]:,} → {width:,}"
                )
    figure.add_scatter(
        x=[1] * blocks,
        y=ys,
        mode="markers",
        marker={"size": 20, "symbol": "square", "color": colour},
        customdata=list(range(1, blocks + 1)),
        hovertemplate="inter block %{customdata}<extra></extra>",
    )
    said = f"<b>inter</b><br>{blocks} blocks, width {width:,}"
    figure.add_annotation(x=1, y=1.13, text=said, showarrow=False, font={"color": INK[theme], "size": 13})


def _draw_dtl(figure: go.Figure, x: float, y: float, said: str) -> None:
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers",
        marker={"size": 11, "symbol": "diamond", "color": "#CC79A7"},
        hovertemplate=f"DTL {said}<extra></extra>",
    )


def _line(figure: go.Figure, x: list[float], y: list[float], colour: str, width: float) -> None:
    figure.add_scatter(x=x, y=y, mode="lines", line={"color": colour, "width": width}, hoverinfo="skip")


def gates_chart(
    shares: Mapping[str, Sequence[float]], labels: Sequence[str], *, title: str = "", theme: Theme = "light"
) -> go.Figure:
    """One stacked bar per block, the deepest on top.

    shares  source → its share per block, 0 to 1, as `gates_of` gives it; a source that is no tower is grey
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


def denominator_chart(
    weights: Tensor, users: Sequence[str], items: Sequence[str], *, title: str = "", theme: Theme = "light"
) -> go.Figure:
    """Rows are the real positions of a batch, columns its distinct items.

    weights  [B, S, C], as `denominator_weights` makes them     users  B names     items  C names
    """
    real = weights.sum(dim=2) > 0  # [B, S]
    names = [f"{user}, position {s + 1}" for user, row in zip(users, real, strict=True) for s in _where(row)]
    hover = "%{y}: %{x} counts %{z:.0f} times"
    figure = heat_map(weights[real].tolist(), x=items, y=names, form="{:.0f}", hover=hover, title=title, theme=theme)
    figure.update_traces(showscale=False, xgap=1, ygap=1)
    figure.update_xaxes(side="top", title="item of the batch")
    figure.update_yaxes(autorange="reversed")
    return figure.update_layout(height=150 + 24 * len(names), margin={"t": 110 if title else 70})


def _where(row: Tensor) -> list[int]:
    return row.nonzero().flatten().tolist()
