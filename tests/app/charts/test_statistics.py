"""Charts of a dataset."""

import datetime

import polars as pl

from app.charts.dataset import coverage_chart, length_chart, lorenz_chart, popularity_chart, time_chart


def test_one_busy_user_does_not_squeeze_the_others():
    lengths = pl.DataFrame({"length": [5, 6, 70, 9000], "users": [500, 300, 1, 1]})
    figure = length_chart(lengths, title="lengths")
    (bars,) = figure.data
    assert (list(bars.x), list(bars.y)) == ([5, 6, 60], [500, 300, 2])
    assert bars.customdata[-1] == "60 or more"
    assert "last bar: 60 or more" in figure.layout.xaxis.title.text
    assert figure.layout.title.text == "lengths"


def test_short_lengths_are_shown_as_they_are():
    figure = length_chart(pl.DataFrame({"length": [5, 9], "users": [2, 1]}))
    assert list(figure.data[0].customdata) == ["5", "9"]
    assert figure.layout.xaxis.title.text == "interactions of a user"


def test_items_that_nobody_wants_have_no_place_on_a_logarithmic_axis():
    curve = pl.DataFrame({"rank": [1, 2, 3], "interactions": [10, 2, 0]})
    figure = popularity_chart(curve, theme="dark")
    assert list(figure.data[0].y) == [10, 2]
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")


def test_concentration_starts_at_nothing_and_is_held_against_equality():
    curve = pl.DataFrame({"share_of_items": [0.5, 1.0], "share_of_interactions": [0.9, 1.0]})
    area, equal = lorenz_chart(curve).data
    assert (list(area.x), list(area.y)) == ([0, 0.5, 1], [0, 0.9, 1])
    assert (list(equal.x), list(equal.y)) == ([0, 1], [0, 1])


def test_coverage_names_shares():
    (bars,) = coverage_chart(pl.DataFrame({"what": ["picture"], "items": [3], "share": [0.75]})).data
    assert list(bars.text) == ["75.0%"]


def test_time_says_its_span():
    table = pl.DataFrame({"start": [datetime.date(2024, 1, 1)], "interactions": [7], "span": ["week"]})
    assert time_chart(table).layout.yaxis.title.text == "interactions per week"
