"""Which layers are kept, and what reads them: backbones as ladders, the inter network between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from iisan_core.charts.palette import Theme, styled, tower_colour

_RUNG = {"light": "#c9d1db", "dark": "#46525f"}
_INK = {"light": "#1f2933", "dark": "#e6e9ee"}
HALF = 0.3
"""Half a rung's length; ladders stand one apart."""
HEIGHT = 470


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
        hovertemplate="layer %{customdata[0]}, width %{customdata[1]:,}<extra>" + _plain(ladder.modality) + "</extra>",
    )
    for layer in ladder.kept:
        text = {"text": str(layer), "showarrow": False, "font": {"color": "white", "size": 11}}
        figure.add_annotation(x=x, y=ladder.height(layer), **text)
    last, shown = len(ladder.widths) - 1, ladder.widths[-1]
    said = f"<b>{_plain(ladder.modality)}</b> · {_plain(ladder.name)}<br>{last} layers, width {shown:,}"
    figure.add_annotation(x=x, y=1.13, text=said, showarrow=False, font={"color": _INK[theme], "size": 13})


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
    figure.add_annotation(x=1, y=1.13, text=said, showarrow=False, font={"color": _INK[theme], "size": 13})


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


def _plain(text: str) -> str:
    """Plotly reads some HTML in texts; a name is shown as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
