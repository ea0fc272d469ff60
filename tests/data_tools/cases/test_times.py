"""Every way in which times are written: `09-times`."""

import pytest

from iisan_core.errors import RefusedError
from tests.data_tools.cases.conftest import history

FIRST = 1_600_001_000
"""2020-09-13 12:43:20 UTC, the time of the first interaction; the next are a minute apart."""


@pytest.mark.parametrize(
    ("log", "first"),
    [
        ("dt.parquet", FIRST * 1000),
        ("dtns.parquet", FIRST * 1000),
        ("dttz.parquet", FIRST * 1000),
        ("decimal.parquet", FIRST),
        ("f64frac.parquet", FIRST * 1000 + 500),
        ("str.parquet", FIRST),
        ("u64.parquet", FIRST),
        ("date.parquet", 1_599_955_200_000),
        ("day.csv", 1_599_955_200_000),
        ("de.csv", (FIRST - 20) * 1000),
        ("us-date.csv", (FIRST - 20) * 1000),
        ("exp.csv", FIRST),
        ("float.csv", FIRST),
        ("frac.csv", FIRST * 1000 + 250),
        ("goodreads.csv", (FIRST + 7 * 3600) * 1000),
        ("iso.csv", FIRST * 1000),
        ("isomin.csv", (FIRST - 20) * 1000),
        ("isoms.csv", FIRST * 1000),
        ("isous.csv", FIRST * 10**6),
        ("isoplus.csv", FIRST * 1000),
        ("isotz.csv", (FIRST - 2 * 3600) * 1000),
        ("ms.csv", FIRST * 1000),
        ("us.csv", FIRST * 10**6),
        ("ns.csv", FIRST * 10**9),
        ("plus.csv", FIRST),
        ("space.csv", FIRST),
        ("yyyymmdd.csv", 20200913),
    ],
)
def test_times_are_read_and_keep_their_order(bring, log, first):
    dataset = bring("table", "09-times/items.csv", f"09-times/{log}")
    assert history(dataset) == list("234567")
    assert dataset.interactions["timestamp"][0] == first


def test_microseconds_keep_their_order(bring):
    assert history(bring("table", "09-times/items.csv", "09-times/dtus-reverse.parquet")) == list("765432")


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("mixed.csv", r"line 2 has the timestamp 1600001000, in seconds .*, line 3 has 1600001060000, in milliseconds"),
        ("zero.csv", r"line 2 has .* in seconds since 1970, line 6 has 0, no time"),
        ("mixiso.csv", r"line 3 has a time of day, that on line 2 has none"),
        ("mixnumiso.csv", r"line 12: the timestamp '2020-09-13' is no whole number"),
        ("exp-lossy.csv", r"'1.60e\+09' leave 10,000,000 seconds open"),
        ("f32.parquet", r"is Float32, which holds times only to two minutes"),
        ("excel.csv", r"line 2: the timestamp '44087.53009259259' is no whole number"),
        ("decimalcomma.csv", r"line 2: the timestamp '1600001000,0'"),
        ("thousands.csv", r"line 2: the timestamp '1,600,001,000'"),
        ("empty.csv", r"line 9: the timestamp None"),
        ("dtnull.parquet", r"row 4: the timestamp None"),
        ("nanfirst.csv", r"line 2: the timestamp 'NaN'"),
        ("neg.csv", r"line 6: the timestamp '-1'"),
        ("old.csv", r"line 2: the timestamp '1969-12-31' is no time between 1990"),
        ("time.parquet", r"the column 'timestamp' is Time"),
    ],
)
def test_times_without_an_order_are_refused(bring, log, says, tmp_path):
    with pytest.raises(RefusedError, match=says):
        bring("table", "09-times/items.csv", f"09-times/{log}")
    assert not (tmp_path / "out").exists()


def test_days_and_months_that_nobody_can_tell_apart(bring, tmp_path):
    lines = [f"u1,{item},0{day}/04/2020 12:00" for item, day in zip("2345", "9876", strict=True)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]))
    with pytest.raises(
        RefusedError, match=r"'09/04/2020 12:00' may begin with the day or with the month.*--time-format"
    ):
        bring("table", "09-times/items.csv", "log.csv")
    assert history(bring("table", "09-times/items.csv", "log.csv", time_format="%d/%m/%Y %H:%M")) == list("5432")
