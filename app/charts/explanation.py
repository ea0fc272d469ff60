"""Why an item scores what it scores: what each part of it adds, and what each item of the history adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from app.charts.palette import BAD, GOOD, Theme, plain, styled, tower_colour
from iisan_core.serving.explanation import Contribution, Influence

ROW_HEIGHT = 30

TITLE_LENGTH = 40


def parts_chart(parts: Sequence[Contribution], *, title: str = "", theme: Theme = "light") -> go.Figure:
    """One bar per part: how far it lifts the item above the catalogue's mean, or below it.

    A part that is the same for all items, such as the bias, ranks nothing and is left out.
    """
    shown = [part for part in parts if part.score != part.catalogue_mean]
    bars = go.Bar(
        x=[part.above_mean for part in shown],
        y=[part.name for part in shown],
        orientation="h",
        marker={"color": [tower_colour(part.name) for part in shown], "cornerradius": 4},
        text=[f"{part.above_mean:+.2f}" for part in shown],
        customdata=[(part.score, part.catalogue_mean) for part in shown],
        hovertemplate="%{y}: %{x:+.3f} above the mean<br>score %{customdata[0]:.3f}, "
        "catalogue mean %{customdata[1]:.3f}<extra></extra>",
    )
    return _rows(bars, x_title="above the catalogue's mean", title=title, theme=theme)


def influence_chart(
    influences: Sequence[Influence], titles: Mapping[str, str | None], *, title: str = "", theme: Theme = "light"
) -> go.Figure:
    """One bar per item of the history, newest on top: how far the score falls without it.

    `titles` names the items; one without a title is shown by its id.
    """
    newest_first = list(reversed(influences))
    names = [titles.get(influence.item_id) or influence.item_id for influence in newest_first]
    bars = go.Bar(
        x=[influence.score for influence in newest_first],
        y=list(range(len(newest_first))),  # an item may stand in a history twice, so its title names no bar
        orientation="h",
        marker={"color": [GOOD if i.score >= 0 else BAD for i in newest_first], "cornerradius": 4},
        text=[f"{influence.score:+.2f}" for influence in newest_first],
        customdata=[plain(name) for name in names],
        hovertemplate="without “%{customdata}” the score falls by %{x:.3f}<extra></extra>",
    )
    figure = _rows(bars, x_title="the score falls by, without it", title=title, theme=theme)
    return figure.update_yaxes(tickvals=list(range(len(names))), ticktext=[_shortened(name) for name in names])


def _rows(bars: go.Bar, *, x_title: str, title: str, theme: Theme) -> go.Figure:
    """Horizontal bars with their numbers at the ends, first on top, each of the same height."""
    bars.update(textposition="outside", cliponaxis=False)
    figure = styled(go.Figure(bars), title=title, theme=theme)
    figure.update_layout(showlegend=False, height=90 + (40 if title else 0) + ROW_HEIGHT * len(bars.x), bargap=0.35)
    figure.update_xaxes(title={"text": x_title}, zeroline=True, range=_with_room(bars.x))
    return figure.update_yaxes(autorange="reversed", showgrid=False, zeroline=False)


def _with_room(values: Sequence[float]) -> list[float]:
    """An axis that has 0 on it and room for the numbers at the bars' ends."""
    low, high = min([0.0, *values]), max([0.0, *values])
    room = 0.22 * (high - low) or 1.0
    return [low - room if low < 0 else 0.0, high + room if high > 0 else room]


def _shortened(title: str) -> str:
    return plain(title if len(title) <= TITLE_LENGTH else title[: TITLE_LENGTH - 1].rstrip() + "…")
