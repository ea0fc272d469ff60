"""What leaves the Recommendations page: files, a link, a demo; and an address that shows the same again."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest

from app.ui import take_away
from app.ui.readers import runs
from app.ui.recommenders import Answer
from app.ui.take_away import link_to, list_table
from iisan_core.runs.workspace import Workspace
from iisan_core.serving.recommender import Recommender

from .conftest import OpenPage, cards, shown
from .test_jobs_panel import make_job

OF_THE_FRAME = {"watch jobs", "ask to notify"}
"""Components that every page has."""


def test_a_list_as_a_table() -> None:
    lists = {"one": [Answer("a", 2.0, {"text": 0.5}), Answer("b", 1.0, {})], "two": [Answer("b", 3.0, {"ids": 1.0})]}
    table = list_table("u1", lists, {"a": "A mug"})
    assert table.select("run", "user", "rank", "item_id", "title", "score").rows() == [
        ("one", "u1", 1, "a", "A mug", 2.0),
        ("one", "u1", 2, "b", "", 1.0),
        ("two", "u1", 1, "b", "", 3.0),
    ]
    assert table["part text"].to_list() == [0.5, None, None]
    assert table["part ids"].to_list() == [None, None, 1.0]
    assert pl.read_parquet(take_away._parquet(table)).equals(table)
    assert list_table("u1", {"one": []}, {}).is_empty()


def test_a_link_holds_all_that_decides() -> None:
    address = {"run": "a&b", "beside": [], "k": 20, "group": "My own history", "items": ["1,2", "ü"], "user": ""}
    link = link_to("http://here:80/recommendations?old=1", address)
    assert link.startswith("http://here:80/recommendations?")
    assert parse_qs(urlsplit(link).query) == {
        "run": ["a&b"], "k": ["20"], "group": ["My own history"], "items": ["1,2", "ü"],
    }  # fmt: skip


def test_a_composed_history_is_in_the_address_and_comes_from_it(shop: Workspace, open_page: OpenPage) -> None:
    recommender = Recommender.load(shop.runs / "both")
    chosen = recommender.item_ids[3]
    page = open_page("recommendations", run="both", group="My own history", items=chosen, k="5")
    assert [card["id"] for card in cards(page, "composed")] == [chosen]
    (expected,) = recommender.recommend(histories=[[chosen]], k=5)
    assert [card["id"] for card in cards(page, "best of both")] == [item.item_id for item in expected]
    assert f"items={chosen}" in next(
        code.value for code in page.code if "recommendations" in code.value or "run=both" in code.value
    )


def test_items_of_an_address_that_are_in_no_catalogue_are_left_out(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("recommendations", run="both", group="My own history", items="<b>nothing</b>")
    assert "Click a few items" in page.info[0].value
    assert not page.error


def test_a_user_s_list_can_be_taken_away(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("recommendations", run="both", beside="titles", moment="Evaluation", k="5")
    labels = [element.label for element in page.get("download_button")]
    assert labels[-2:] == ["CSV", "Parquet"]
    link = next(code.value for code in page.code if "run=both" in code.value)
    asked = parse_qs(urlsplit(link).query)
    assert (asked["beside"], asked["k"], asked["moment"]) == (["titles"], ["5"], ["Evaluation"])


def test_a_run_opens_as_a_demo_once(own_shop: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(take_away, "start", lambda argv, workspace, device: started.append([*argv]))
    page = open_page("recommendations", run="both", beside="titles")
    next(button for button in page.button if button.label == "Open as demo").click().run()
    (argv,) = started
    assert argv[:3] == ["gradio", str((own_shop.runs / "both").absolute()), "--port"]
    assert argv[4:] == ["--run2", str((own_shop.runs / "titles").absolute())]
    make_job(own_shop, "demo-1", *argv, state="running")
    assert "The demo is starting" in shown(open_page("recommendations", run="both", beside="titles"))
    monkeypatch.setattr(take_away, "_answers", lambda port: port == int(argv[3]))
    page = open_page("recommendations", run="both", beside="titles")
    assert "Stop the demo" in [button.label for button in page.button]
    assert "Open as demo" in [b.label for b in open_page("recommendations", run="titles").button]


def test_the_best_run_of_a_dataset_opens_first(shop: Workspace, open_page: OpenPage) -> None:
    best = max(runs(shop), key=lambda run: run.reached() or 0.0)
    page = open_page("recommendations")
    assert next(box for box in page.selectbox if box.label == "Run").value == best.name


@pytest.mark.parametrize(("page", "query"), [("recommendations", "run"), ("data", "dataset"), ("train", "dataset")])
def test_what_an_address_names_and_is_not_there_is_said(
    shop: Workspace, open_page: OpenPage, page: str, query: str
) -> None:
    test = open_page(page, **{query: "no<b>body"})
    assert "There is no" in test.warning[0].value and "body" in test.warning[0].value
    assert {element.proto.id.rsplit("-", 1)[-1] for element in test.get("bidi_component")} <= OF_THE_FRAME
    chooser = next(box for box in test.selectbox if box.key == query)
    assert chooser.value is None
    test.run()
    assert next(box for box in test.selectbox if box.key == query).value is None, "no other is put in its place"
