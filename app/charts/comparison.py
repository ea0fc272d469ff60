"""Runs side by side in pictures: quality with its uncertainty, differences, groups of users, quality against cost.

The tables are those of `iisan_core.experiments` and of `iisan_core.runs.evaluate`.
"""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from app.charts.palette import BAD, GOOD, SERIES, Theme, styled
from iisan_core.errors import RefusedError
from iisan_core.evaluation.lists import UNITS

ROW_HEIGHT = 34

UNDECIDED = "#999999"

BARS: dict[str, object] = {"type": "data", "thickness": 1.5, "color": "#7b8794"}
"""Error bars, in a grey that can be seen on light pages, dark pages and bars."""


def leaderboard_chart(
    table: pl.DataFrame, *, metric: str = "test_HR@10", title: str = "", theme: Theme = "light"
) -> go.Figure:
    """One dot per row of a leaderboard or seed table, first on top, with its interval or deviation if it has one."""
    _require(table, ["run", metric])
    errors = _errors(table, metric)
    figure = _rows(table, metric, colours=SERIES[0], errors=errors, form=".2f", title=title, theme=theme)
    return figure.update_xaxes(title={"text": _words(metric)})


def paired_chart(
    table: pl.DataFrame, *, metric: str = "test_HR@10", title: str = "", theme: Theme = "light"
) -> go.Figure:
    """Differences to one run with their intervals, from `paired_differences`; grey where chance may explain them."""
    _require(table, ["run", "against", "metric", "difference", "low", "high", "beyond_chance"])
    shown = table.filter(pl.col("metric") == metric)
    if shown.is_empty():
        raise RefusedError(f"no differences of {metric!r}; there are {', '.join(table['metric'].unique().sort())}")
    colours = [_verdict(*row) for row in shown.select("difference", "beyond_chance").iter_rows()]
    errors = _bars(shown["difference"], shown["low"], shown["high"])
    figure = _rows(shown, "difference", colours=colours, errors=errors, form="+.2f", title=title, theme=theme)
    figure.update_xaxes(title={"text": f"{_words(metric)} above {shown['against'][0]}"})
    return figure.add_vline(x=0, line={"color": UNDECIDED, "dash": "dash", "width": 1})


def group_chart(table: pl.DataFrame, *, metric: str = "HR@10", title: str = "", theme: Theme = "light") -> go.Figure:
    """One group of bars per group of users and one bar per run, from one or several stacked results of `evaluate`."""
    _require(table, ["run", "group", "users", metric])
    figure = go.Figure()
    for colour, (run, own) in enumerate(table.partition_by("run", as_dict=True, maintain_order=True).items()):
        figure.add_bar(
            x=own["group"].to_list(),
            y=own[metric].to_list(),
            name=str(run[0]),
            marker={"color": SERIES[colour % len(SERIES)]},
            error_y=_errors(own, metric),
            customdata=own["users"].to_list(),
            hovertemplate="%{x}: %{y:.2f} (%{customdata:,} users)<extra>" + str(run[0]) + "</extra>",
        )
    styled(figure, title=title, theme=theme)
    figure.update_layout(barmode="group", showlegend=table["run"].n_unique() > 1)
    return figure.update_yaxes(title={"text": _words(metric)}, rangemode="tozero")


def cost_chart(
    table: pl.DataFrame,
    *,
    metric: str = "test_HR@10",
    cost: str = "seconds_per_epoch",
    title: str = "",
    theme: Theme = "light",
) -> go.Figure:
    """Quality against a cost of a leaderboard, on a logarithmic axis: up and to the left is better.

    Rows without the cost, such as a model that is not trained, cannot be shown.
    """
    _require(table, ["run", metric, cost])
    shown = table.filter(pl.col(cost) > 0)
    dots = go.Scatter(
        x=shown[cost].to_list(),
        y=shown[metric].to_list(),
        mode="markers+text",
        text=shown["run"].to_list(),
        textposition="top center",
        cliponaxis=False,
        marker={"color": SERIES[0], "size": 11},
        hovertemplate="%{text}: %{y:.2f} at %{x:,.3g}<extra></extra>",
    )
    figure = styled(go.Figure(dots), title=title, theme=theme)
    figure.update_xaxes(type="log", title={"text": cost.replace("_", " ")})
    return figure.update_yaxes(title={"text": _words(metric)})


def _rows(
    table: pl.DataFrame,
    column: str,
    *,
    colours: str | list[str],
    errors: dict[str, object] | None,
    form: str,
    title: str,
    theme: Theme,
) -> go.Figure:
    """One dot per run, first on top."""
    names = table["run"].to_list()
    dots = go.Scatter(
        x=table[column].to_list(),
        y=list(range(len(names))),  # two runs may share a name
        mode="markers",
        marker={"color": colours, "size": 10},
        error_x=errors,
        text=names,
        hovertemplate=f"%{{text}}: %{{x:{form}}}<extra></extra>",
    )
    figure = styled(go.Figure(dots), title=title, theme=theme)
    figure.update_layout(showlegend=False, height=110 + (40 if title else 0) + ROW_HEIGHT * len(names))
    return figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.5, -0.5], zeroline=False
    )


def _errors(table: pl.DataFrame, metric: str) -> dict[str, object] | None:
    """Error bars from the columns beside a metric, if there are any."""
    if f"{metric}_low" in table.columns:
        return _bars(table[metric], table[f"{metric}_low"], table[f"{metric}_high"])
    if f"{metric}_deviation" in table.columns:
        return BARS | {"array": table[f"{metric}_deviation"].fill_null(0).to_list()}
    return None


def _bars(middle: pl.Series, low: pl.Series, high: pl.Series) -> dict[str, object]:
    return BARS | {"array": (high - middle).to_list(), "arrayminus": (middle - low).to_list()}


def _verdict(difference: float, beyond_chance: bool) -> str:
    if not beyond_chance:
        return UNDECIDED
    return GOOD if difference > 0 else BAD


def _words(metric: str) -> str:
    """`test_HR@10` as `test HR@10 × 100`, `test_Novelty@10` as `test Novelty@10 in bits`."""
    name = metric.rpartition("_")[2]
    return metric.replace("_", " ") + UNITS.get(name, " × 100")


def _require(table: pl.DataFrame, columns: list[str]) -> None:
    absent = [column for column in columns if column not in table.columns]
    if absent or table.is_empty():
        raise RefusedError(f"nothing to draw: the table has {table.height} rows, and lacks the columns {absent}")
