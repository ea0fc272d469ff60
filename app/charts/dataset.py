"""A dataset in pictures: how long histories are, how unequal items, how complete the catalogue, when it happened.

The tables come from `data_tools.statistics`, whose docstrings name their columns. With counts and findings the pictures
make a page.
"""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
import polars as pl

from app.charts.page import Table, write_report
from app.charts.palette import SERIES, Theme, styled
from data_tools.checks import check
from data_tools.statistics import coverage, interactions_over_time, popularity_curve, sequence_lengths, statistics
from data_tools.times import has_times
from iisan_core.data.dataset import Dataset

MAX_BARS = 60
"""Lengths beyond share one bar, so that one busy user does not squeeze all others to the left."""

BLUE, ORANGE = SERIES[0], SERIES[1]


def write_statistics_page(dataset: Dataset, path: Path) -> None:
    """Write statistics, findings and charts as one HTML file that opens anywhere, offline."""
    findings = [(f.severity, f.count, f.what, f.remedy) for f in check(dataset)]
    facts = [(name.replace("_", " "), value) for name, value in statistics(dataset).as_dict().items()]
    lost = [(name.replace("_", " "), n) for name, n in dataset.card.dropped.items() if n]
    tables = {
        "What should be known before training": Table(("", "count", "finding", "what to do"), findings),
        "Counts": Table(("fact", "value"), facts),
        "Dropped on import": Table(("reason", "rows"), lost),
    }
    write_report(path, title=dataset.name, lead=dataset.card.source, charts=statistics_charts(dataset), tables=tables)


def statistics_charts(dataset: Dataset) -> dict[str, go.Figure]:
    """Every chart of a dataset by its heading; interactions over time only where times are known."""
    curve = popularity_curve(dataset)
    charts = {
        "Length of histories": length_chart(sequence_lengths(dataset)),
        "Popularity of items": popularity_chart(curve),
        "Concentration": lorenz_chart(curve),
        "Coverage": coverage_chart(coverage(dataset)),
    }
    if has_times(dataset.interactions):
        charts["Interactions over time"] = time_chart(interactions_over_time(dataset))
    return charts


def length_chart(lengths: pl.DataFrame, *, title: str = "", theme: Theme = "light") -> go.Figure:
    """Users by their number of interactions, from columns `length`, `users`; the longest share the last bar."""
    cut = _length_cut(lengths)
    shown = lengths.with_columns(bar=pl.col("length").clip(upper_bound=cut)).group_by("bar").agg(pl.col("users").sum())
    shown = shown.sort("bar")
    more = bool((lengths["length"] > cut).any())
    names = [f"{n:,} or more" if more and n == cut else f"{n:,}" for n in shown["bar"]]
    bars = go.Bar(
        x=shown["bar"].to_list(),
        y=shown["users"].to_list(),
        customdata=names,
        marker={"color": BLUE},
        hovertemplate="%{customdata} interactions: %{y:,} users<extra></extra>",
    )
    figure = styled(go.Figure(bars), title=title, theme=theme)
    figure.update_xaxes(title={"text": f"interactions of a user{f' (last bar: {cut:,} or more)' if more else ''}"})
    return figure.update_yaxes(title={"text": "users"})


def popularity_chart(curve: pl.DataFrame, *, title: str = "", theme: Theme = "light") -> go.Figure:
    """Interactions of each item by its rank, both axes logarithmic, from columns `rank`, `interactions`."""
    shown = curve.filter(pl.col("interactions") > 0)  # a logarithm of 0 cannot be shown
    line = go.Scatter(
        x=shown["rank"].to_list(),
        y=shown["interactions"].to_list(),
        mode="lines",
        line={"color": BLUE, "width": 2},
        hovertemplate="rank %{x:,}: %{y:,} interactions<extra></extra>",
    )
    figure = styled(go.Figure(line), title=title, theme=theme)
    figure.update_xaxes(type="log", title={"text": "rank of the item"}, dtick=1)
    return figure.update_yaxes(type="log", title={"text": "interactions"}, dtick=1)


def lorenz_chart(curve: pl.DataFrame, *, title: str = "", theme: Theme = "light") -> go.Figure:
    """Share of interactions that the most popular share of items has; the diagonal is equality.

    From columns `share_of_items`, `share_of_interactions`, 0 to 1.
    """
    area = go.Scatter(
        x=[0.0, *curve["share_of_items"]],
        y=[0.0, *curve["share_of_interactions"]],
        mode="lines",
        line={"color": BLUE, "width": 2},
        fill="tozeroy",
        name="this dataset",
        hovertemplate="the most popular %{x:.1%} of items have %{y:.1%} of interactions<extra></extra>",
    )
    equal = go.Scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": ORANGE, "dash": "dash"}, name="all equal", hoverinfo="skip"
    )
    figure = styled(go.Figure([area, equal]), title=title, theme=theme)
    figure.update_xaxes(title={"text": "most popular items"}, tickformat=".0%", range=[0, 1])
    return figure.update_yaxes(title={"text": "their share of interactions"}, tickformat=".0%", range=[0, 1.02])


def coverage_chart(coverage: pl.DataFrame, *, title: str = "", theme: Theme = "light") -> go.Figure:
    """Share of items that have a picture and each text, from columns `what`, `items`, `share` (0 to 1)."""
    bars = go.Bar(
        x=coverage["share"].to_list(),
        y=coverage["what"].to_list(),
        orientation="h",
        marker={"color": BLUE},
        text=[f"{share:.1%}" for share in coverage["share"]],
        textposition="outside",
        cliponaxis=False,
        customdata=coverage["items"].to_list(),
        hovertemplate="%{y}: %{customdata:,} items, %{x:.1%}<extra></extra>",
    )
    figure = styled(go.Figure(bars), title=title, theme=theme)
    figure.update_xaxes(tickformat=".0%", range=[0, 1.12], tickvals=[0, 0.25, 0.5, 0.75, 1], title={"text": "items"})
    return figure.update_yaxes(autorange="reversed", showgrid=False)


def time_chart(over_time: pl.DataFrame, *, title: str = "", theme: Theme = "light") -> go.Figure:
    """Interactions over time, from columns `start` (date), `interactions`, `span` (day, week, month or year)."""
    span = over_time["span"][0]
    bars = go.Bar(
        x=over_time["start"].to_list(),
        y=over_time["interactions"].to_list(),
        marker={"color": BLUE},
        hovertemplate=f"{span} from %{{x|%Y-%m-%d}}: %{{y:,}} interactions<extra></extra>",
    )
    figure = styled(go.Figure(bars), title=title, theme=theme)
    return figure.update_yaxes(title={"text": f"interactions per {span}"})


def _length_cut(lengths: pl.DataFrame) -> int:
    """The length from which bars are merged: where 99 % of users are shown, at least `MAX_BARS`."""
    cumulative = lengths["users"].cum_sum() / lengths["users"].sum()
    usual = lengths.filter(cumulative <= 0.99)["length"].to_list()
    return max([MAX_BARS, *usual])
