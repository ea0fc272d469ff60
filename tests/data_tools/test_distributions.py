"""Distributions against plain-Python counts, and the page that shows them."""

from collections import Counter
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from data_tools.statistics import coverage, interactions_over_time, popularity_curve, sequence_lengths
from data_tools.statistics_page import statistics_charts, write_statistics_page
from data_tools.times import has_times
from data_tools.writing import write_dataset
from iisan_core.errors import RefusedError


def seconds(day):
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def made(folder, log, *, items, **columns):
    table = pl.DataFrame({"item_id": items, "title": [f"<b>{i}" for i in items], **columns})
    log = pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row")
    return write_dataset(folder, name="a <shop>", source="a test", items=table, interactions=log)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """2,500 items of very unequal popularity, 300 users, over three weeks."""
    rng = np.random.default_rng(3)
    start = seconds("2024-02-20")
    log = [
        (f"u{user}", f"i{item}", start + int(rng.integers(21 * 86_400)))
        for user in range(300)
        for item in rng.zipf(1.2, size=rng.integers(1, 100)) % 2500
    ]
    plots = ["long" if n % 4 else None for n in range(2500)]
    return made(tmp_path_factory.mktemp("d") / "d", log, items=[f"i{n}" for n in range(2500)], plot=plots)


def test_lengths_agree_with_a_plain_count(dataset):
    lengths = Counter(Counter(dataset.interactions["user_id"].to_list()).values())
    assert sequence_lengths(dataset).rows() == sorted(lengths.items())


def test_the_popularity_curve_agrees_with_a_plain_count(dataset):
    wanted = Counter(dataset.interactions["item_id"].to_list())
    counts = sorted((wanted[item] for item in dataset.items["item_id"].to_list()), reverse=True)
    curve = popularity_curve(dataset)
    assert 500 < curve.height < len(counts), "long catalogues are thinned out"
    for rank, interactions, of_items, of_interactions in curve.rows():
        assert interactions == counts[rank - 1]
        assert of_items == pytest.approx(rank / len(counts))
        assert of_interactions == pytest.approx(sum(counts[:rank]) / sum(counts))
    assert (curve["rank"][0], curve["rank"][-1]) == (1, len(counts))


def test_coverage_counts_pictures_and_every_text(dataset):
    assert coverage(dataset).rows() == [
        ("picture", 0, 0.0),
        ("title", 2500, 1.0),
        ("plot", 2500 - 625, 0.75),
        ("picture and text", 0, 0.0),
    ]


def test_a_text_column_called_picture_hides_no_pictures(tmp_path):
    shop = made(tmp_path / "d", [("u", "a", 0)], items=["a"], picture=["a mug on a table"])
    assert coverage(shop)["what"].to_list() == ["picture", "title", "picture", "picture and text"]
    assert coverage(shop)["items"].to_list() == [0, 1, 1, 0]


def test_days_are_counted_without_gaps(dataset):
    table = interactions_over_time(dataset)
    days = Counter(datetime.fromtimestamp(t, tz=UTC).date() for t in dataset.interactions["timestamp"].to_list())
    assert dict(table.select("start", "interactions").iter_rows()) == days
    assert table["span"].unique().to_list() == ["day"]
    assert table["start"].is_sorted()


@pytest.mark.parametrize(
    ("last", "span", "starts"),
    [
        ("2024-01-03", "day", [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)]),
        ("2025-12-31", "week", None),
        ("2034-02-10", "month", None),
        ("2054-06-01", "year", [date(year, 1, 1) for year in range(2024, 2055)]),
    ],
)
@pytest.mark.parametrize("per_second", [1, 1000])
def test_the_span_fits_the_years(tmp_path, last, span, starts, per_second):
    log = [("u", "a", seconds("2024-01-01") * per_second), ("u", "b", seconds(last) * per_second)]
    table = interactions_over_time(made(tmp_path / "d", log, items=["a", "b"]))
    assert table["span"][0] == span
    assert table["interactions"].to_list() == [1, *[0] * (table.height - 2), 1]
    if starts is not None:
        assert table["start"].to_list() == starts


def test_an_order_is_no_time(tmp_path):
    dataset = made(tmp_path / "d", [("u", "a", 0), ("u", "b", 1)], items=["a", "b"])
    assert not has_times(dataset.interactions)
    with pytest.raises(RefusedError, match="these timestamps are an order, not times"):
        interactions_over_time(dataset)
    assert "Interactions over time" not in statistics_charts(dataset)


def test_the_page_needs_nothing_else_and_shows_text_as_it_is(dataset, tmp_path):
    write_statistics_page(dataset, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("Plotly.newPlot(") >= len(statistics_charts(dataset)) == 5
    assert "<script src" not in page
    assert "<link" not in page
    assert "a &lt;shop&gt;" in page
    assert "a <shop>" not in page
    assert "cold test targets" in page
