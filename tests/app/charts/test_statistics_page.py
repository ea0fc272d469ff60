"""The page that shows a dataset's numbers."""

import polars as pl

from app.charts.dataset import statistics_charts, write_statistics_page
from data_tools.writing import write_dataset

MOMENT = 1_704_067_200
"""2024-01-01 in seconds since 1970."""


def made(folder, *, start):
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["<b>a", "<b>b"]})
    log = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "timestamp": [start, start + 1]})
    return write_dataset(folder, name="a <shop>", source="a test", items=items, interactions=log)


def test_an_order_has_no_chart_over_time(tmp_path):
    assert "Interactions over time" not in statistics_charts(made(tmp_path / "order", start=0))
    assert "Interactions over time" in statistics_charts(made(tmp_path / "times", start=MOMENT))


def test_the_page_needs_nothing_else_and_shows_text_as_it_is(tmp_path):
    dataset = made(tmp_path / "d", start=MOMENT)
    write_statistics_page(dataset, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("Plotly.newPlot(") >= len(statistics_charts(dataset)) == 5
    assert "<script src" not in page
    assert "<link" not in page
    assert "a &lt;shop&gt;" in page
    assert "a <shop>" not in page
    assert "cold test targets" in page
