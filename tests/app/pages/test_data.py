"""The Data page: statistics, cards, sequences, checks, and importing by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from app.ui.uploads import MEGABYTES
from iisan_core.data.dataset import Dataset
from iisan_core.runs.workspace import Workspace

from .conftest import HOSTILE, OpenPage, cards, shown


def test_without_data_it_says_what_to_do(workspace: Path, open_page: OpenPage) -> None:
    assert "No dataset yet" in shown(open_page("data"))


def test_the_overview_counts_and_draws(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("data")
    assert [m.value for m in page.metric][:2] == ["240", "260"]
    assert len(page.get("plotly_chart")) == 5
    assert len(cards(page, "popular")) == 10


def test_items_are_found_by_all_words_and_shown_as_text(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("data", view="Items")
    assert len(cards(page, "catalogue")) == 24
    page.text_input(key="search").set_value("SCRIPT bold").run()
    (card,) = cards(page, "catalogue")
    assert card["title"] == HOSTILE
    assert "1 item of 240" in shown(page)
    page.text_input(key="search").set_value("no such thing").run()
    assert "No item meets this" in shown(page)


def test_pages_of_items_follow_each_other(shop: Workspace, open_page: OpenPage) -> None:
    first = cards(open_page("data", view="Items"), "catalogue")
    dataset = Dataset.load(shop.datasets / "demo")
    assert [card["id"] for card in first] == dataset.items["item_id"].head(24).to_list()


def test_an_item_opens_with_its_hostile_title_escaped(shop: Workspace, open_page: OpenPage) -> None:
    dataset = Dataset.load(shop.datasets / "demo")
    item = dataset.items.filter(dataset.items["title"] == HOSTILE)["item_id"][0]
    page = open_page("data", view="Items")
    page.session_state["opened item"] = item
    page.run()
    said = shown(page)
    assert "\\<script\\>" in said
    assert "<script>" not in said.replace("\\<script\\>", "")


def test_a_users_sequence_is_a_strip_oldest_first(shop: Workspace, open_page: OpenPage) -> None:
    log = Dataset.load(shop.datasets / "demo").interactions
    user = log["user_id"][0]
    page = open_page("data", view="Users", user=user)
    expected = log.filter(log["user_id"] == user)["item_id"].to_list()
    assert [card["id"] for card in cards(page, "sequence")] == expected
    page.text_input(key="user").set_value("<nobody>").run()
    assert "no user" in page.error[0].value.lower()


def test_checks_are_sentences(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("data", view="Checks")
    assert page.info or page.warning or page.success


def test_a_table_is_imported_by_path_with_its_columns_mapped(
    workspace: Path, tmp_path: Path, open_page: OpenPage
) -> None:
    (tmp_path / "things.csv").write_text("asin,name\na,Lamp\nb,Mug\nc,Vase\n")
    rows = "".join(f"u{n},{item},{n}\n" for n in range(3) for item in "abc")
    (tmp_path / "log.csv").write_text("userId,asin,time\n" + rows)
    page = open_page("data", view="Import …")
    page.text_input(key="new name").set_value("lamps")
    page.text_input(key="path Catalogue: file").set_value(str(tmp_path / "things.csv"))
    page.text_input(key="path Log of interactions: file").set_value(str(tmp_path / "log.csv")).run()
    chosen = {box.key: box.value for box in page.selectbox}
    assert chosen["map item_id"] == "asin"
    assert chosen["map title"] == "name"
    assert chosen["map timestamp"] == "time"
    page.button(key="import").click().run()
    assert not page.error
    assert Dataset.load(workspace / "datasets" / "lamps").items["title"].to_list() == ["Lamp", "Mug", "Vase"]


def test_the_preview_copies_an_upload_once(
    workspace: Path, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = []

    def copy(source: Any, to: Any) -> None:
        copied.append(source.name)
        to.write(source.read())

    monkeypatch.setattr("app.ui.uploads.shutil.copyfileobj", copy)
    page = open_page("data", view="Import …")
    page.segmented_control(key="import from").set_value("Upload").run()
    limits = {uploader.proto.max_upload_size_mb for uploader in page.file_uploader}
    assert limits == {MEGABYTES}, "the browser refuses what is larger"
    page.file_uploader(key="upload Catalogue").upload("things.csv", b"asin,name\na,Lamp\nb,Mug\n", "text/csv")
    page.file_uploader(key="upload Log of interactions").upload(
        "log.csv", b"userId,asin,time\nu,a,1\n", "text/csv"
    ).run()
    assert {box.key: box.value for box in page.selectbox}["map item_id"] == "asin"
    assert [frame.value.shape for frame in page.dataframe] == [(2, 2), (1, 3)]
    page.text_input(key="new name").set_value("lamps").run()
    page.selectbox(key="map title").set_value("asin").run()
    assert sorted(copied) == ["log.csv", "things.csv"]
    page.button(key="import").click().run()
    assert len(copied) == 4, "and once more to be imported"
    assert Dataset.load(workspace / "datasets" / "lamps").items["title"].to_list() == ["a", "b"]


def test_a_fault_in_the_files_is_a_sentence(workspace: Path, tmp_path: Path, open_page: OpenPage) -> None:
    page = open_page("data", view="Import …")
    page.text_input(key="path Catalogue: file").set_value(str(tmp_path / "absent.csv"))
    page.text_input(key="path Log of interactions: file").set_value(str(tmp_path / "absent.csv")).run()
    assert "check the path" in shown(page)


def look_at(open_page: OpenPage, items: Path, log: Path) -> Any:
    page = open_page("data", view="Import …")
    page.text_input(key="new name").set_value("looked-at")
    page.text_input(key="path Catalogue: file").set_value(str(items))
    page.text_input(key="path Log of interactions: file").set_value(str(log)).run()
    return page


def test_files_are_looked_at_first(workspace: Path, tmp_path: Path, open_page: OpenPage) -> None:
    """Each has its own separator, one is Parquet with columns that are no texts."""
    items, log = tmp_path / "items.parquet", tmp_path / "log.txt"
    table = {"asin": ["a", "b"], "name": ["A", "B"], "tags": [["x"], []], "raw": [b"1", b"2"], "deep": [{"x": 1}, None]}
    pl.DataFrame(table).write_parquet(items)
    log.write_text("userId;asin;date\nu;a;1\nu;b;2\n")
    page = look_at(open_page, items, log)
    assert "semicolons" in shown(page)
    assert page.dataframe[0].value["tags"].to_list() == ["['x']", "[]"]
    page.button(key="import").click().run()
    assert not page.error
    assert Dataset.load(workspace / "datasets" / "looked-at").interactions.height == 2


def test_a_fault_stands_at_its_file_and_nothing_can_be_imported(
    workspace: Path, tmp_path: Path, open_page: OpenPage
) -> None:
    items, log = tmp_path / "items.csv", tmp_path / "log.csv"
    items.write_text("asin,name\na,A\n")
    log.write_bytes(b"userId,asin,time\nu,a,1\n"[:10] + b"\xff\xff\n")
    page = look_at(open_page, items, log)
    (fault,) = page.error
    assert "byte 0xff is no" in fault.value
    assert [button.key for button in page.button if button.key == "import"] == []


def test_swapped_files_are_known(workspace: Path, tmp_path: Path, open_page: OpenPage) -> None:
    items, log = tmp_path / "items.csv", tmp_path / "log.csv"
    items.write_text("asin,name\na,A\n")
    log.write_text("userId,asin,time\nu,a,1\n")
    page = look_at(open_page, log, items)
    assert "swap the files" in page.error[0].value
    assert [button.key for button in page.button if button.key == "import"] == []
