"""Random times, written in random ways, keep their order or are refused."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportOptions, ImportRequest
from data_tools.statistics import statistics
from data_tools.times import has_times, moments
from iisan_core.errors import RefusedError

SECOND = timedelta(seconds=1)
MOMENTS = st.lists(
    st.datetimes(datetime(1990, 1, 2), datetime(2099, 12, 30)).map(lambda moment: moment.replace(tzinfo=UTC)),
    min_size=2,
    max_size=8,
)
CLOSE = st.builds(
    lambda start, steps: [start + timedelta(microseconds=step) for step in steps],
    st.datetimes(datetime(1990, 1, 2), datetime(2099, 12, 30)).map(lambda moment: moment.replace(tzinfo=UTC)),
    st.lists(st.integers(0, 10**9), min_size=2, max_size=8),
)
"""Times within minutes, where precision counts."""


def micro(moment):
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def cut(unit):
    """The time as far as a way of writing tells it."""
    return lambda moment: micro(moment) // unit * unit


EXACT, MILLI, WHOLE, MINUTE, DAY = (cut(unit) for unit in (1, 10**3, 10**6, 60 * 10**6, 86_400 * 10**6))
NUMBERS = {
    "s": (lambda moment: f"{micro(moment) // 10**6}", WHOLE),
    "ms": (lambda moment: f"{micro(moment) // 10**3}", MILLI),
    "us": (lambda moment: f"{micro(moment)}", EXACT),
    "ns": (lambda moment: f"{micro(moment) * 1000}", EXACT),
    "s with fractions": (lambda moment: f"{micro(moment) // 10**6}.{micro(moment) % 10**6:06}", EXACT),
    "ms with fractions": (lambda moment: f"{micro(moment) // 10**3}.{micro(moment) % 10**3:03}", EXACT),
    "float": (lambda moment: f"{micro(moment) // 10**6}.0", WHOLE),
    "exponent": (lambda moment: f"{micro(moment) // 10**6:.9e}", WHOLE),
    "few digits": (lambda moment: f"{micro(moment) // 10**6:.3e}", WHOLE),
    "with space": (lambda moment: f" {micro(moment) // 10**6} ", WHOLE),
}
DATES = {
    "iso": (lambda moment: moment.isoformat(), EXACT),
    "iso Z": (lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), EXACT),
    "iso ms": (lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3], MILLI),
    "iso comma": (lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S,%f"), EXACT),
    "iso minutes": (lambda moment: moment.strftime("%Y-%m-%d %H:%M"), MINUTE),
    "iso day": (lambda moment: moment.strftime("%Y-%m-%d"), DAY),
    "slashes": (lambda moment: moment.strftime("%Y/%m/%d %H:%M:%S"), WHOLE),
    "offset": (lambda moment: (moment + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S+02:00"), WHOLE),
    "short offset": (lambda moment: (moment - timedelta(hours=7)).strftime("%Y-%m-%d %H:%M:%S-07"), WHOLE),
    "UTC": (lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S UTC"), WHOLE),
    "mail": (lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT"), WHOLE),
    "goodreads": (lambda moment: moment.strftime("%a %b %d %H:%M:%S +0000 %Y"), WHOLE),
    "german": (lambda moment: moment.strftime("%d.%m.%Y %H:%M:%S"), WHOLE),
    "american": (lambda moment: moment.strftime("%m/%d/%Y %I:%M:%S %p"), WHOLE),
    "words": (lambda moment: moment.strftime("%d %b %Y"), DAY),
}
WRITTEN = NUMBERS | DATES


def order(times, told):
    """Items by time, as far as it is told; ties as in the file."""
    return [f"i{n}" for n in sorted(range(len(times)), key=lambda n: told(times[n]))]


def imported(table: pl.DataFrame, ending: str, **options: str):
    with tempfile.TemporaryDirectory() as folder:
        items, log = Path(folder) / "items.csv", Path(folder) / f"log{ending}"
        items.write_text("item_id,title\n" + "".join(f"i{n},T\n" for n in range(table.height)))
        table = table.with_columns(user_id=pl.lit("u"), item_id=pl.format("i{}", pl.int_range(pl.len())))
        table.write_parquet(log) if ending == ".parquet" else table.write_csv(log)
        request = ImportRequest(
            items=items, interactions=log, out=Path(folder) / "out", options=ImportOptions(**options)
        )
        return IMPORTERS["table"](request)


@pytest.mark.parametrize("way", WRITTEN)
@settings(max_examples=25, deadline=None)
@given(times=st.one_of(MOMENTS, CLOSE))
def test_one_way_of_writing_keeps_the_order(way, times):
    write, told = WRITTEN[way]
    table = pl.DataFrame({"timestamp": [write(time) for time in times]})
    try:
        dataset = imported(table, ".csv")
    except RefusedError as refusal:
        assert way in ("german", "american", "few digits"), str(refusal)
        return
    assert dataset.interactions["item_id"].to_list() == order(times, told)
    assert has_times(dataset.interactions)
    assert moments(dataset.interactions).dt.epoch("us").to_list() == sorted(map(told, times))
    assert statistics(dataset).interactions == len(times)


@settings(max_examples=150, deadline=None)
@given(times=CLOSE, data=st.data())
def test_mixed_ways_of_writing_keep_the_order_or_are_refused(times, data):
    ways = [data.draw(st.sampled_from(sorted(WRITTEN))) for _ in times]
    table = pl.DataFrame({"timestamp": [WRITTEN[way][0](time) for way, time in zip(ways, times, strict=True)]})
    try:
        dataset = imported(table, ".csv")
    except RefusedError as refusal:
        assert "log.csv" in str(refusal)
        return
    told = {f"i{n}": WRITTEN[way][1](time) for n, (way, time) in enumerate(zip(ways, times, strict=True))}
    came_out = [told[item] for item in dataset.interactions["item_id"]]
    assert came_out == sorted(came_out)


KINDS = {
    "datetime us": (pl.Datetime("us"), EXACT),
    "datetime ns": (pl.Datetime("ns"), EXACT),
    "datetime ms": (pl.Datetime("ms"), MILLI),
    "zoned": (pl.Datetime("us", "America/New_York"), EXACT),
    "date": (pl.Date, DAY),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(times=st.one_of(MOMENTS, CLOSE))
def test_typed_times_keep_their_order(kind, times):
    dtype, told = KINDS[kind]
    column = pl.Series("timestamp", times, dtype=pl.Datetime("us", "UTC"))
    if kind == "zoned":
        column = column.dt.convert_time_zone("America/New_York")
    else:
        column = column.dt.replace_time_zone(None).cast(dtype)
    log = imported(column.to_frame(), ".parquet").interactions
    assert log["item_id"].to_list() == order(times, told)


@pytest.mark.parametrize("kind", [pl.Float64, pl.Float32, pl.Decimal(20, 6)])
@settings(max_examples=25, deadline=None)
@given(times=CLOSE)
def test_typed_numbers_keep_their_order_or_are_refused(kind, times):
    column = pl.Series("timestamp", [micro(time) for time in times])
    seconds = (
        (column.cast(pl.Decimal(38, 6)) / 10**6).cast(kind)
        if kind == pl.Decimal(20, 6)
        else (column / 10**6).cast(kind)
    )
    try:
        log = imported(seconds.alias("timestamp").to_frame(), ".parquet").interactions
    except RefusedError as refusal:
        assert kind == pl.Float32 and "Float32" in str(refusal)
        return
    assert log["item_id"].to_list() == order(times, EXACT)


@pytest.mark.parametrize("far", ["2600-01-01", "2584-07-20 12:00:00.123456789", "1400-01-01", "9999-12-31"])
def test_times_far_from_today_are_refused_and_do_not_wrap_around(far):
    near = "2015-06-13" + (" 10:00:00.123456789" if ":" in far else "")
    with pytest.raises(RefusedError, match=f"line 3: the timestamp '{far}' is no time between 1990 and 2100"):
        imported(pl.DataFrame({"timestamp": [near, far]}), ".csv")


@pytest.mark.parametrize("far", [1e11, 2e10, -5.0, 1e300])
def test_numbers_far_from_today_are_refused_among_fractions(far):
    with pytest.raises(RefusedError, match=r"row 2: the timestamp .* is no time between 1990 and 2100"):
        imported(pl.DataFrame({"timestamp": [1_600_000_000.5, far]}), ".parquet")


def test_nanoseconds_keep_their_order():
    table = pl.DataFrame({"timestamp": [f"2020-01-01 00:00:00.12345678{n}" for n in (3, 1, 2)]})
    assert imported(table, ".csv").interactions["item_id"].to_list() == ["i1", "i2", "i0"]
