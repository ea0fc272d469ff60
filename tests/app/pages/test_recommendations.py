"""The Recommendations page: users, own histories, two runs, reasons, similar items, gates, map."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from app.gradio_demo.catalogue import Run
from iisan_core.runs.workspace import Workspace
from iisan_core.serving.recommender import Recommender

from .conftest import OpenPage, cards, shown


def test_without_a_run_it_says_what_to_do(workspace: Path, open_page: OpenPage) -> None:
    assert "No finished run yet" in shown(open_page("recommendations"))


def test_the_best_items_after_the_evaluated_history(shop: Workspace, open_page: OpenPage) -> None:
    ranks = pl.read_parquet(shop.runs / "both" / "ranks.parquet")
    best = ranks.sort("test").row(0, named=True)
    page = open_page("recommendations", run="both", user=best["user_id"], group="Best served", moment="Evaluation")
    history = cards(page, "history")
    assert history[-1]["id"] == best["test_target"]
    assert history[-1]["mark"] == "next"
    seen = [card["id"] for card in history[:-1]]
    found = cards(page, "best of both")
    (expected,) = Recommender.load(shop.runs / "both").recommend(histories=[seen], k=10)
    assert [card["id"] for card in found] == [item.item_id for item in expected]
    marked = [card["corner"] for card in found if card["mark"] == "next"]
    assert marked == ([str(best["test"])] if best["test"] <= 10 else [])


def test_now_the_page_the_shell_and_gradio_give_the_same_ten(
    shop: Workspace, open_page: OpenPage, shell: Callable[..., Any]
) -> None:
    run, recommender = shop.runs / "both", Recommender.load(shop.runs / "both")
    for user in recommender.dataset.interactions["user_id"].unique(maintain_order=True)[:3]:
        page = open_page("recommendations", run="both", user=user)
        shown_here = [card["id"] for card in cards(page, "best of both")]
        (asked,) = json.loads(shell("recommend", run, "--user", user, "--json").out)
        assert asked["view"] == "now"
        assert [card["id"] for card in cards(page, "history")] == asked["history"]
        demo = Run.of("both", recommender).recommend(recommender.history(user), k=10)
        assert shown_here == [item["item_id"] for item in asked["recommended"]] == [why.item_id for why in demo]
        assert not set(shown_here) & set(asked["history"])


def test_the_view_of_the_evaluation_is_the_same_in_page_and_shell(
    shop: Workspace, open_page: OpenPage, shell: Callable[..., Any]
) -> None:
    user = pl.read_parquet(shop.runs / "both" / "ranks.parquet")["user_id"][0]
    page = open_page("recommendations", run="both", user=user, moment="Evaluation")
    (asked,) = json.loads(shell("recommend", shop.runs / "both", "--user", user, "--view", "evaluation", "--json").out)
    assert [card["id"] for card in cards(page, "best of both")] == [item["item_id"] for item in asked["recommended"]]
    assert [card["id"] for card in cards(page, "history")[:-1]] == asked["history"]


def test_parts_of_a_card_are_its_distance_from_the_mean(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("recommendations", run="both")
    history = [card["id"] for card in cards(page, "history")]
    card = cards(page, "best of both")[0]
    reasons = Recommender.load(shop.runs / "both").explain(card["id"], history=history)
    expected = {part.name: part.above_mean for part in reasons.parts if part.name != "bias"}
    assert {part["name"]: part["value"] for part in card["parts"]} == pytest.approx(expected)


def test_two_runs_stand_side_by_side(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("recommendations", run="both", beside="titles")
    assert len(cards(page, "best of both")) == len(cards(page, "best of titles")) == 10


@pytest.mark.parametrize("group", ["Random", "By history length", "Cold target", "Best served", "Worst served"])
def test_every_group_of_users_opens(shop: Workspace, open_page: OpenPage, group: str) -> None:
    page = open_page("recommendations", run="both", group=group)
    said = shown(page)
    assert not page.error
    assert "in this group" in said or "No user of this kind" in said


def test_another_user_is_of_the_group(shop: Workspace, open_page: OpenPage) -> None:
    worst = pl.read_parquet(shop.runs / "both" / "ranks.parquet").sort("test", descending=True)["user_id"].head(100)
    page = open_page("recommendations", run="both", group="Worst served")
    next(b for b in page.button if b.label == "Another user").click()
    page.run()
    assert page.text_input(key="user").value in set(worst)


def test_an_unknown_user_is_a_sentence(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("recommendations", run="both", user="<i>nobody</i>")
    assert "no user" in page.error[0].value.lower()
    assert "<i>" not in page.error[0].value.replace("\\<", "")


def test_a_composed_history_is_answered(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("recommendations", run="both", group="My own history")
    offered = [card["id"] for card in cards(page, "to add")]
    page.session_state["composed history"] = offered[:2]
    page.run()
    assert [card["id"] for card in cards(page, "composed")] == offered[:2]
    assert not {card["id"] for card in cards(page, "best of both")} & set(offered[:2])


def test_why_an_item_opens_with_its_reasons(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("recommendations", run="both")
    item = cards(page, "best of both")[0]["id"]
    page.session_state["opened recommendation"] = ("both", item)
    page.run()
    assert len(page.get("plotly_chart")) == 2
    assert len(cards(page, "alike")) == 8


def test_similar_items_gates_and_map(shop: Workspace, open_page: OpenPage) -> None:
    near = cards(open_page("recommendations", run="both", view="Similar items"), "near")
    expected = Recommender.load(shop.runs / "both").similar_items(near[0]["id"], k=11)
    assert [card["id"] for card in near[1:]] == [item.item_id for item in expected]
    assert len(open_page("recommendations", run="both", view="Gates").get("plotly_chart")) == 3
    assert len(open_page("recommendations", run="titles", view="Gates").get("plotly_chart")) == 1
    page = open_page("recommendations", run="both", view="Item map")
    assert len(page.get("plotly_chart")) == 1
    assert "of the variance" in shown(page)


def test_nothing_here_wakes_a_gpu(shop: Workspace, open_page: OpenPage) -> None:
    open_page("recommendations", run="both")
    assert not torch.cuda.is_initialized()


@pytest.mark.usefixtures("by_hand")
def test_what_came_after_the_training_is_said(own_shop: Workspace, open_page: OpenPage) -> None:
    for name in ("items", "interactions"):
        path = own_shop.datasets / "demo" / f"{name}.parquet"
        table = pl.read_parquet(path)
        user = table["user_id"][0] if name == "interactions" else ""
        new = table.head(1).with_columns(item_id=pl.lit("new"))
        pl.concat([new, table]).write_parquet(path)
    page = open_page("recommendations", run="both", user=user)
    said = shown(page)
    assert "of the history are not in this run and passed over" in said
    assert "1 item of the catalogue not in this run, never recommended by it" in said
    assert len(cards(page, "best of both")) == 10
