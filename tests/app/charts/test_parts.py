"""Bars of a score's parts and of a history's influence."""

import pytest

from app.charts.explanation import influence_chart, parts_chart
from app.charts.palette import BAD, GOOD, TOWERS
from iisan_core.serving.explanation import Contribution, Influence

PARTS = [Contribution("image", 3.0, 1.0), Contribution("text", -1.0, 0.5), Contribution("bias", 0.25, 0.25)]


def test_parts_are_shown_above_the_mean_and_the_bias_is_left_out():
    figure = parts_chart(PARTS, title="why")
    (bars,) = figure.data
    assert list(bars.y) == ["image", "text"]
    assert list(bars.x) == [3.0 - 1.0, -1.0 - 0.5]
    assert list(bars.text) == ["+2.00", "-1.50"]
    assert list(bars.marker.color) == [TOWERS["image"], TOWERS["text"]]
    assert figure.layout.title.text == "why"


@pytest.mark.parametrize("values", [[2.0, 1.0], [-2.0, -1.0], [3.0, -1.0], [0.5]])
def test_zero_and_all_bars_lie_on_the_axis(values):
    figure = parts_chart([Contribution(f"part {n}", value, 0.0) for n, value in enumerate(values)])
    low, high = figure.layout.xaxis.range
    assert low <= min([0, *values])
    assert high > max([0, *values])


def test_influences_are_newest_on_top_and_a_repeated_item_has_two_bars():
    found = [Influence("a", 1.0), Influence("b", -0.5), Influence("a", 0.25)]
    figure = influence_chart(found, {"a": "mug", "b": None})
    (bars,) = figure.data
    assert list(bars.x) == [0.25, -0.5, 1.0]
    assert list(bars.y) == [0, 1, 2]
    assert list(bars.marker.color) == [GOOD, BAD, GOOD]
    assert list(figure.layout.yaxis.ticktext) == ["mug", "b", "mug"]
    assert figure.layout.yaxis.autorange == "reversed"


def test_titles_are_text_and_of_bounded_length():
    figure = influence_chart([Influence("a", 1.0)], {"a": "<b>bold</b> " + "x" * 1000})
    (name,) = figure.layout.yaxis.ticktext
    assert name.startswith("&lt;b&gt;bold&lt;/b&gt; xxx")
    assert len(name) < 80
    assert "<b>" not in figure.data[0].customdata[0]


def test_without_anything_to_show_there_is_still_a_figure():
    assert list(parts_chart([]).data[0].x or []) == []
    assert list(influence_chart([], {}).data[0].x or []) == []
