"""The loss of a small batch, drawn: which item counts how much in whose denominator."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from torch import Tensor

from iisan_core.charts.palette import Theme, styled


def denominator_chart(
    weights: Tensor, users: Sequence[str], items: Sequence[str], *, title: str = "", theme: Theme = "light"
) -> go.Figure:
    """Rows are the real positions of a batch, columns its distinct items.

    weights  [B, S, C], as `denominator_weights` makes them     users  B names     items  C names
    """
    real = weights.sum(dim=2) > 0  # [B, S]
    names = [f"{user}, position {s + 1}" for user, row in zip(users, real, strict=True) for s in _where(row)]
    values = weights[real].tolist()
    heat = go.Heatmap(
        z=values,
        x=list(items),
        y=names,
        colorscale="Cividis",
        text=[[f"{value:.0f}" for value in row] for row in values],
        texttemplate="%{text}",
        showscale=False,
        xgap=1,
        ygap=1,
        hovertemplate="%{y}: %{x} counts %{z:.0f} times<extra></extra>",
    )
    figure = styled(go.Figure(heat), title=title, theme=theme)
    figure.update_xaxes(type="category", showgrid=False, side="top", title="item of the batch")
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    return figure.update_layout(height=150 + 24 * len(names), margin={"t": 110 if title else 70})


def _where(row: Tensor) -> list[int]:
    return row.nonzero().flatten().tolist()
