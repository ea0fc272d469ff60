"""Runs side by side: a quality of each, with its interval."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from iisan_core.charts.palette import GOOD, SERIES, Theme, styled

ROW_HEIGHT = 34


def leaderboard_chart(table: pl.DataFrame, *, metric: str, title: str = "", theme: Theme = "light") -> go.Figure:
    """One dot per run in the table's order, the first on top; whiskers where the table has intervals.

    table   `run`, the column `metric`, and optionally `<metric>_low` and `<metric>_high`, as `leaderboard` makes them
    metric  such as `test_HR@10`; × 100
    """
    names, values = [_plain(name) for name in table["run"]], table[metric].to_list()
    whiskers: dict[str, object] = {}
    if f"{metric}_low" in table.columns:
        above = (table[f"{metric}_high"] - table[metric]).to_list()
        below = (table[metric] - table[f"{metric}_low"]).to_list()
        whiskers = {"error_x": {"array": above, "arrayminus": below, "thickness": 2, "width": 6, "color": SERIES[0]}}
    places = list(range(len(names)))  # names may be equal, places are not
    dots = go.Scatter(
        x=values,
        y=places,
        mode="markers+text",
        text=[f"{value:.2f}" for value in values],
        textposition="top center",
        marker={"size": 12, "color": [GOOD if place == 0 else SERIES[0] for place in places]},
        customdata=names,
        hovertemplate="%{customdata}: %{x:.2f}<extra></extra>",
        cliponaxis=False,
        **whiskers,
    )
    figure = styled(go.Figure(dots), title=title, theme=theme)
    figure.update_layout(height=120 + ROW_HEIGHT * len(names), showlegend=False)
    figure.update_xaxes(title={"text": f"{metric.replace('_', ' ')} × 100"}, zeroline=False)
    return figure.update_yaxes(
        tickvals=places, ticktext=names, range=[len(names) - 0.4, -0.8], showgrid=False, zeroline=False
    )


def differences_chart(table: pl.DataFrame, *, title: str = "", theme: Theme = "light") -> go.Figure:
    """How far runs lie from one run, user by user, with 95 % intervals; what touches zero may be chance.

    table  `run`, `difference`, `low`, `high`, `beyond_chance`, as `paired_differences` makes them for one metric
    """
    places = list(range(table.height))
    names = [_plain(name) for name in table["run"]]
    figure = go.Figure(
        go.Scatter(
            x=table["difference"].to_list(),
            y=places,
            mode="markers",
            error_x={
                "array": (table["high"] - table["difference"]).to_list(),
                "arrayminus": (table["difference"] - table["low"]).to_list(),
                "thickness": 2,
                "width": 6,
                "color": "#999999",
            },
            marker={"size": 11, "color": [SERIES[0] if sure else "#999999" for sure in table["beyond_chance"]]},
            customdata=list(zip(names, table["low"], table["high"], strict=True)),
            hovertemplate="%{customdata[0]}: %{x:+.2f} (%{customdata[1]:+.2f} to %{customdata[2]:+.2f})<extra></extra>",
        )
    )
    styled(figure, title=title, theme=theme)
    figure.add_vline(x=0, line={"width": 2, "dash": "dot", "color": "#999999"})
    figure.update_layout(height=120 + ROW_HEIGHT * len(places), showlegend=False)
    figure.update_xaxes(title={"text": "difference × 100"}, zeroline=False)
    return figure.update_yaxes(
        tickvals=places, ticktext=names, range=[len(places) - 0.4, -0.6], showgrid=False, zeroline=False
    )


def _plain(text: str) -> str:
    """Plotly reads some HTML in texts; a name is shown as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
