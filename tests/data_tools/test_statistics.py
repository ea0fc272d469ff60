"""Counts and distributions of a dataset against counts in plain Python."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from statistics import median

import numpy as np
import polars as pl
import pytest

from data_tools.statistics import coverage, interactions_over_time, popularity_curve, sequence_lengths, statistics
from data_tools.times import has_times
from data_tools.writing import write_dataset
from iisan_core.errors import RefusedError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Random sequences with repeats, of length 1 to 29, over items that partly lack a title."""
    rng = np.random.default_rng(7)
    log = [
        (f"u{user}", f"i{item}", time)
        for user in range(60)
        for time, item in enumerate(rng.zipf(1.3, size=rng.integers(1, 30)) % 150)
    ]
    ids = [f"i{item}" for item in range(150)]
    return write_dataset(
        tmp_path_factory.mktemp("data") / "d",
        name="random",
        source="a test",
        items=pl.DataFrame({"item_id": ids, "title": [f"t{i}" if i % 7 else None for i in ids_of(ids)]}),
        interactions=pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row"),
    )


def ids_of(ids):
    return [int(item_id[1:]) for item_id in ids]


def plain_core(sequences, k):
    """Drop rare items and short users in turn until all that is left has k."""
    while True:
        times = Counter(item for items in sequences.values() for item in items)
        smaller = {user: [i for i in items if times[i] >= k] for user, items in sequences.items()}
        smaller = {user: items for user, items in smaller.items() if len(items) >= k}
        if sum(map(len, smaller.values())) == sum(map(len, sequences.values())):
            return smaller
        sequences = smaller


def plain_counts(dataset, sequences, *, min_length, keep_last):
    """Every statistic that hangs on the interactions, from user → item ids."""
    lengths = [len(items) for items in sequences.values()]
    kept = [items[-keep_last:] for items in sequences.values() if len(items) >= min_length]
    trained = {item for items in kept for item in items[:-2]}
    core = plain_core(sequences, min_length)
    return {
        "users": len(sequences),
        "items": dataset.items.height,
        "interactions": sum(lengths),
        "items_with_interactions": len({item for items in sequences.values() for item in items}),
        "kept_users": len(kept),
        "kept_items": len({item for items in kept for item in items}),
        "kept_interactions": sum(len(items) for items in kept),
        "core_users": len(core),
        "core_items": len({item for items in core.values() for item in items}),
        "core_interactions": sum(map(len, core.values())),
        "length_min": min(lengths),
        "length_median": median(lengths),
        "length_max": max(lengths),
        "users_repeating_an_item": sum(max(Counter(items).values()) > 1 for items in sequences.values()),
        "repeated_interactions": sum(len(items) - len(set(items)) for items in sequences.values()),
        "cold_test_targets": sum(items[-1] not in trained for items in kept),
        "test_targets_in_history": sum(items[-1] in items[:-1] for items in kept),
    }


@pytest.mark.parametrize(("min_length", "keep_last"), [(5, 13), (3, 4), (10, 100)])
def test_every_count_equals_a_plain_one(dataset, min_length, keep_last):
    sequences = defaultdict(list)
    for user, item, _ in dataset.interactions.rows():
        sequences[user].append(item)
    plain = plain_counts(dataset, sequences, min_length=min_length, keep_last=keep_last)
    assert 0 < plain["kept_users"] < len(sequences)
    assert statistics(dataset, min_length=min_length, keep_last=keep_last).as_dict() == plain | {
        "items_without_text": len(range(0, 150, 7)),
        "items_without_image": 150,
        "duplicate_interactions": 0,
        "tied_interactions": 0,
        "titles_with_entities": 0.0,
    }


def test_counts_of_real_data_equal_plain_ones_of_its_file(scientific, data_folder):
    lines = (data_folder / "scientific" / "users.tsv").read_text().splitlines()
    sequences = {user: items.split() for user, items in (line.split("\t") for line in lines)}
    plain = plain_counts(scientific, sequences, min_length=5, keep_last=13)
    found = statistics(scientific).as_dict()
    assert {name: found[name] for name in plain} == plain


def test_titles_with_entities_are_found_where_another_program_wrote_them(dataset, tmp_path):
    titles = ["&amp; a", "&#34;", "AT&T; &", "x &x27 ;", None, *["plain"] * 145]
    raw = type(dataset)(
        folder=tmp_path,
        card=dataset.card,
        items=dataset.items.with_columns(title=pl.Series(titles)),
        interactions=dataset.interactions,
    )
    assert statistics(raw).titles_with_entities == 2 / 149


def test_users_all_too_short_keep_nothing(dataset):
    found = statistics(dataset, min_length=1000)
    assert (found.kept_users, found.kept_items, found.kept_interactions) == (0, 0, 0)
    assert (found.cold_test_targets, found.test_targets_in_history) == (0, 0)


@pytest.mark.parametrize("bounds", [(2, 13), (5, 2)])
def test_bounds_that_leave_no_training_are_refused(dataset, bounds):
    with pytest.raises(RefusedError, match=r"both must be at least 3"):
        statistics(dataset, min_length=bounds[0], keep_last=bounds[1])


def test_duplicates_and_ties_are_counted(tmp_path):
    log = [("u", "a", 1), ("u", "a", 1), ("u", "b", 1), ("u", "a", 2), ("v", "a", 1)]
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"]})
    interactions = pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row")
    dataset = write_dataset(tmp_path / "d", name="d", source="a test", items=items, interactions=interactions)
    counts = statistics(dataset)
    assert (counts.duplicate_interactions, counts.repeated_interactions, counts.tied_interactions) == (1, 2, 3)


def seconds(day):
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def made(folder, log, *, items, **columns):
    table = pl.DataFrame({"item_id": items, "title": [f"<b>{i}" for i in items], **columns})
    log = pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row")
    return write_dataset(folder, name="a <shop>", source="a test", items=table, interactions=log)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
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


def test_lengths_agree_with_a_plain_count(shop):
    lengths = Counter(Counter(shop.interactions["user_id"].to_list()).values())
    assert sequence_lengths(shop).rows() == sorted(lengths.items())


def test_the_popularity_curve_agrees_with_a_plain_count(shop):
    wanted = Counter(shop.interactions["item_id"].to_list())
    counts = sorted((wanted[item] for item in shop.items["item_id"].to_list()), reverse=True)
    curve = popularity_curve(shop)
    assert 500 < curve.height < len(counts), "long catalogues are thinned out"
    for rank, interactions, of_items, of_interactions in curve.rows():
        assert interactions == counts[rank - 1]
        assert of_items == pytest.approx(rank / len(counts))
        assert of_interactions == pytest.approx(sum(counts[:rank]) / sum(counts))
    assert (curve["rank"][0], curve["rank"][-1]) == (1, len(counts))


def test_coverage_counts_pictures_and_every_text(shop):
    assert coverage(shop).rows() == [
        ("picture", 0, 0.0),
        ("title", 2500, 1.0),
        ("plot", 2500 - 625, 0.75),
        ("picture and text", 0, 0.0),
    ]


def test_a_text_column_called_picture_hides_no_pictures(tmp_path):
    shop = made(tmp_path / "d", [("u", "a", 0)], items=["a"], picture=["a mug on a table"])
    assert coverage(shop)["what"].to_list() == ["picture", "title", "picture", "picture and text"]
    assert coverage(shop)["items"].to_list() == [0, 1, 1, 0]


def test_days_are_counted_without_gaps(shop):
    table = interactions_over_time(shop)
    days = Counter(datetime.fromtimestamp(t, tz=UTC).date() for t in shop.interactions["timestamp"].to_list())
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
