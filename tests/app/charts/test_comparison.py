"""Charts of runs side by side."""

import polars as pl
import pytest

from app.charts.comparison import UNDECIDED, cost_chart, group_chart, leaderboard_chart, paired_chart
from app.charts.palette import BAD, GOOD
from iisan_core.errors import RefusedError


def test_runs_keep_the_order_of_the_table_even_under_one_name():
    table = pl.DataFrame({"run": ["a", "b", "a"], "test_HR@10": [3.0, 2.0, 1.0]})
    figure = leaderboard_chart(table, title="runs")
    assert list(figure.data[0].x) == [3, 2, 1]
    assert list(figure.layout.yaxis.ticktext) == ["a", "b", "a"]
    low, high = figure.layout.yaxis.range
    assert low > high, "the first is on top"
    assert figure.data[0].error_x.array is None


def test_intervals_and_deviations_become_error_bars():
    interval = pl.DataFrame({"run": ["a"], "x": [3.0], "x_low": [2.5], "x_high": [4.0]})
    bars = leaderboard_chart(interval, metric="x").data[0].error_x
    assert (list(bars.arrayminus), list(bars.array)) == ([0.5], [1.0])
    deviation = pl.DataFrame({"run": ["a", "b"], "x": [3.0, 1.0], "x_deviation": [0.2, None]})
    assert list(leaderboard_chart(deviation, metric="x").data[0].error_x.array) == [0.2, 0]


PAIRED = pl.DataFrame(
    {
        "run": ["up", "down", "even"], "against": ["base"] * 3, "metric": ["test_HR@10"] * 3,
        "difference": [1.0, -1.0, 0.5], "low": [0.5, -1.5, -0.5], "high": [1.5, -0.5, 1.5],
        "beyond_chance": [True, True, False],
    }
)  # fmt: skip


def test_differences_are_coloured_by_what_they_say():
    figure = paired_chart(PAIRED, theme="dark")
    assert list(figure.data[0].marker.color) == [GOOD, BAD, UNDECIDED]
    assert figure.layout.xaxis.title.text == "test HR@10 × 100 above base"
    with pytest.raises(RefusedError, match="no differences of 'test_MRR@5'; there are test_HR@10"):
        paired_chart(PAIRED, metric="test_MRR@5")


def test_groups_stand_side_by_side():
    table = pl.DataFrame(
        {"run": ["a", "a", "b", "b"], "group": ["all", "cold"] * 2, "users": [9, 4] * 2, "HR@10": [1.0, 2, 3, 4]}
    )
    first, second = group_chart(table).data
    assert (first.name, list(first.x), list(first.y)) == ("a", ["all", "cold"], [1, 2])
    assert (second.name, list(second.y)) == ("b", [3, 4])


def test_what_costs_nothing_has_no_place_on_a_logarithmic_axis():
    table = pl.DataFrame({"run": ["a", "b"], "test_HR@10": [3.0, 1.0], "seconds_per_epoch": [2.0, None]})
    figure = cost_chart(table)
    assert list(figure.data[0].text) == ["a"]
    assert figure.layout.xaxis.type == "log"


def test_tables_without_the_figures_are_refused():
    with pytest.raises(RefusedError, match=r"lacks the columns \['test_HR@10'\]"):
        leaderboard_chart(pl.DataFrame({"run": ["a"]}))
