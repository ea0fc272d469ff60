"""Damaged ids are reported with examples of both sides, and repaired on request; nothing is lost in silence."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.ids import SHARE, repaired, repairs_of
from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportOptions, ImportRequest
from iisan_core.errors import RefusedError

ITEMS = "item_id,title\n" + "".join(f"{n},T{n}\n" for n in range(1, 9))
LOG = "user_id,item_id,timestamp\n" + "".join(f"u{n % 3},{n % 8 + 1},{n}\n" for n in range(24))

DAMAGES = {
    "space": (lambda text: f"{text} ", "strip"),
    "zero width": (lambda text: f"\u200b{text}", "strip"),
    "byte order mark": (lambda text: f"\ufeff{text}", "strip"),
    "no-break space": (lambda text: f"{text}\u00a0", "strip"),
    "point": (lambda text: f"{text}.0" if text.isdigit() else f"{text} ", "strip,integer"),
    "zeros": (lambda text: text.zfill(8) if text.isdigit() else f"{text} ", "strip,integer"),
    "capitals": (lambda text: text.swapcase(), "lower"),
}
IDS = st.lists(
    st.one_of(st.integers(1, 10**6).map(str), st.text("abcdefgh", min_size=3, max_size=6)),
    min_size=2,
    max_size=8,
    unique=True,
)


def imported(items: list[str], log: list[str], **options: str):
    with tempfile.TemporaryDirectory() as folder:
        catalogue, events = Path(folder) / "items.parquet", Path(folder) / "log.parquet"
        pl.DataFrame({"item_id": items, "title": [f"T {item}" for item in items]}).write_parquet(catalogue)
        table = {"user_id": ["u"] * len(log), "item_id": log, "timestamp": range(len(log))}
        pl.DataFrame(table).write_parquet(events)
        request = ImportRequest(
            items=catalogue, interactions=events, out=Path(folder) / "out", options=ImportOptions(**options)
        )
        return IMPORTERS["table"](request)


@pytest.mark.parametrize("damage", DAMAGES)
@settings(max_examples=40, deadline=None)
@given(ids=IDS, data=st.data())
def test_damage_is_refused_with_examples_and_repaired_on_request(damage, ids, data):
    spoil, repair = DAMAGES[damage]
    hurt = data.draw(st.sets(st.sampled_from(ids), min_size=1))
    log = [spoil(item) if item in hurt else item for item in ids]
    if log == ids:
        return
    with pytest.raises(RefusedError) as refused:
        imported(ids, log)
    spoilt = [after for before, after in zip(ids, log, strict=True) if after != before]
    assert any(repr(after) in str(refused.value) for after in spoilt), "an example of the log"
    assert any(repr(item) in str(refused.value) for item in ids), "an example of the catalogue"
    assert "--ids " in str(refused.value)
    dataset = imported(ids, log, ids=repair)
    assert dataset.interactions.height == len(ids)
    assert dataset.card.dropped["interactions_of_unknown_items"] == 0


@pytest.mark.parametrize(("damage", "repair"), [(" {}", "strip"), ("{}\u200b", "strip"), ("{}.0", "integer")])
@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_twins_in_a_column_are_refused(write, imported, damage, repair, column):
    old, new = ("7,", damage.format("7") + ",") if column == "item_id" else ("u0,", damage.format("70") + ",")
    log = LOG.replace("u0,", "70,").replace("70," if column == "user_id" else old, new, 1)
    files = write("items.csv", ITEMS), write("log.csv", log)
    with pytest.raises(RefusedError, match=rf"log.csv: 1 (user|item) ids differ .*damage alone.* give --ids {repair}"):
        imported("table", *files)
    dataset = imported("table", *files, ids=repair)
    assert (dataset.card.counts["users"], dataset.interactions.height) == (3, 24)


@pytest.mark.parametrize("word", ["nan", "None", "NULL", "N/A", "<NA>"])
def test_what_programs_write_where_nothing_is_is_no_id(write, imported, word):
    log = write("log.csv", LOG + f"{word},3,99\n")
    with pytest.raises(RefusedError, match=rf"log.csv, line 26: the user_id '{word}' is what programs write"):
        imported("table", write("items.csv", ITEMS), log)


def test_a_few_damaged_ids_are_warned_of_and_listed(write, imported, caplog):
    many = round(1 / SHARE) + 1
    log = LOG + "".join(f"v,{n % 8 + 1},{n}\n" for n in range(many)) + "v,07,9999\n"
    dataset = imported("table", write("items.csv", ITEMS), write("log.csv", log))
    assert "'07' in the log, '7' in the catalogue; give --ids integer" in caplog.text
    report = pl.read_parquet(dataset.folder / "import-report.parquet")
    assert report.select("table", "id").rows() == [("interactions", "07")]


def test_unknown_items_are_named(write, imported, caplog):
    dataset = imported("table", write("items.csv", ITEMS), write("log.csv", LOG + "u1,else,50\n"))
    assert (
        "1 interactions name 1 items that the catalogue lacks, such as 'else'; the catalogue has ids such as '1'"
        in caplog.text
    )
    report = pl.read_parquet(dataset.folder / "import-report.parquet").to_dicts()
    assert report == [
        {"table": "interactions", "row": None, "id": "else", "reason": "the catalogue has no such item; 1 interactions"}
    ]


def test_damage_in_what_is_kept_of_reviewed_items_only(write, imported):
    meta = '{"asin": "A1 ", "title": "x"}\n{"asin": "B", "title": "y"}\n{"asin": "unreviewed"}\n'
    reviews = "".join(f'{{"reviewerID": "u", "asin": "{i}", "unixReviewTime": 1441324800}}\n' for i in ("A1", "B"))
    files = write("meta.json", meta), write("reviews.json", reviews)
    with pytest.raises(RefusedError, match="'A1' in the log, 'A1 ' in the catalogue; give --ids strip"):
        imported("amazon-2018", *files)
    assert imported("amazon-2018", *files, ids="strip").items["item_id"].to_list() == ["A1", "B"]


def test_users_with_an_order_but_no_times_are_not_made_one(write, imported):
    files = write("items.tsv", "a\tA\nb\tB\n"), write("users.tsv", "u\ta b\nU\tb a\n")
    with pytest.raises(RefusedError, match="--ids lower makes one user of several"):
        imported("iisan-tsv", *files, ids="lower")


def test_a_repair_that_is_none_is_refused():
    with pytest.raises(RefusedError, match="--ids trim: there are strip, integer, lower"):
        repairs_of("strip,trim")


@settings(max_examples=100, deadline=None)
@given(
    ids=st.lists(st.text(max_size=10), min_size=1, max_size=5),
    repairs=st.sets(st.sampled_from(["strip", "integer", "lower"])),
)
def test_what_is_repaired_needs_no_repair(ids, repairs):
    once = pl.Series("id", ids).to_frame().select(repaired(pl.col("id"), sorted(repairs)))
    assert once.select(repaired(pl.col("id"), sorted(repairs))).equals(once)
