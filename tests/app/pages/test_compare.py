"""The Compare page: leaderboard, groups, curves, cost, settings, studies, exports."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from iisan_core.evaluation.lists import BEYOND
from iisan_core.files import write_json
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import Workspace

from .conftest import OpenPage, shown

VIEWS = ("Leaderboard", "Groups of users", "Curves", "Cost", "Settings", "Studies")


@pytest.mark.parametrize("view", VIEWS)
def test_without_runs_every_view_says_what_to_do(workspace: Path, open_page: OpenPage, view: str) -> None:
    said = shown(open_page("compare", view=view))
    assert "No finished run to compare" in said or "No study yet" in said


def test_the_leaderboard_shows_what_the_results_say(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("compare")
    table = page.dataframe[0].value
    for name in ("both", "titles"):
        expected = RunFolder.open(shop.runs / name).results()["quality"]["test"]["HR@10"]
        assert table.set_index("run").loc[name, "test_HR@10"] == pytest.approx(expected)
    assert "tpme" in table.columns
    assert [b.label for b in page.get("download_button")] == ["CSV", "Markdown", "JSON"]
    assert len(page.get("plotly_chart")) == 2


def test_the_leaderboard_shows_figures_beside_accuracy_where_asked(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("compare")
    assert not [name for name in page.dataframe[0].value.columns if "Coverage" in name]
    page.toggle(key="beyond").set_value(True)
    page.selectbox(key="metric").set_value("Coverage@10").run()
    table = page.dataframe[0].value
    results = RunFolder.open(shop.runs / "both").results()
    assert table.set_index("run").loc["both", "test_Coverage@10"] == pytest.approx(results["beyond"]["Coverage@10"])
    assert {f"test_{name}" for name in BEYOND} <= set(table.columns)
    said = shown(page)
    assert f"Coverage@10: {BEYOND['Coverage@10']}." in said
    assert "one figure of all users' lists together" in said, "instead of differences user by user"
    assert len(page.get("plotly_chart")) == 1
    page.selectbox(key="metric").set_value("Novelty@10").run()
    assert len(page.get("plotly_chart")) == 2


def test_groups_of_users_have_figures_beside_accuracy(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("compare", view="Groups of users")
    page.selectbox(key="group metric").set_value("Diversity@10").run()
    assert "Diversity@10: how unlike" in shown(page)
    assert len(page.get("plotly_chart")) == 1


@pytest.mark.usefixtures("by_hand")
def test_a_run_of_before_is_named_beside_the_others(own_shop: Workspace, open_page: OpenPage) -> None:
    run = RunFolder.open(own_shop.runs / "titles")
    pl.read_parquet(run.ranks).select("user_id", "valid", "test").write_parquet(run.ranks)
    run.write_results({name: value for name, value in run.results().items() if name != "beyond"})
    page = open_page("compare")
    page.selectbox(key="metric").set_value("Novelty@10").run()
    said = shown(page)
    assert "titles: trained before figures beside accuracy were measured" in said
    assert "--beyond --anew" in said
    assert set(page.dataframe[0].value["run"]) == {"both", "titles"}


@pytest.mark.parametrize(("view", "charts"), [("Groups of users", 1), ("Curves", 2), ("Cost", 2)])
def test_the_views_draw(shop: Workspace, open_page: OpenPage, view: str, charts: int) -> None:
    page = open_page("compare", view=view)
    assert not page.error
    assert len(page.get("plotly_chart")) == charts


def test_settings_that_differ_stand_side_by_side(shop: Workspace, open_page: OpenPage) -> None:
    table = open_page("compare", view="Settings").dataframe[0].value
    assert {"setting", "both", "titles"} <= set(table.columns)
    assert any(setting.startswith("caches.image") for setting in table["setting"])


@pytest.mark.usefixtures("by_hand")
def test_a_run_without_groups_hides_no_other(own_shop: Workspace, open_page: OpenPage) -> None:
    ranks = own_shop.runs / "titles" / "ranks.parquet"
    pl.read_parquet(ranks).select("user_id", "valid", "test").write_parquet(ranks)
    page = open_page("compare", view="Groups of users")
    assert [e.label for e in page.expander] == ["1 run without these groups"]
    assert "lacks" in shown(page)
    assert len(page.get("plotly_chart")) == 1


def test_a_study_is_drawn_from_its_folder(own_shop: Workspace, open_page: OpenPage) -> None:
    folder = own_shop.runs / "ablation-demo"
    folder.mkdir()
    rows = {"row": ["whole", "no inter"], "test_HR@10": [7.0, 6.0], "test_HR@10_deviation": [0.1, 0.2]}
    pl.DataFrame(rows).write_parquet(folder / "table.parquet")
    write_json(folder / "study.json", {"study": "ablation", "question": "What does each part add?", "seeds": [0, 1]})
    page = open_page("compare", view="Studies")
    assert "What does each part add" in shown(page)
    assert len(page.get("plotly_chart")) == 1
    (folder / "table.parquet").write_text("no table")
    assert "cannot be read" in open_page("compare", view="Studies").error[0].value
