"""The Backbones page: registry, ladders, plan, extraction as a job, caches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.charts.model import Ladder, ladder_chart
from app.ui import extraction
from app.ui.backbones import shape_of
from iisan_core.backbones.layers import choose_layers
from iisan_core.backbones.registry import backbone_catalogue, find_entry
from iisan_core.runs.workspace import Workspace

from .conftest import OpenPage, shown


def test_the_registry_can_be_filtered(workspace: Path, open_page: OpenPage) -> None:
    page = open_page("backbones", view="Registry")
    assert f"{len(backbone_catalogue())} backbones" in shown(page)
    page.multiselect(key="families").set_value(["BERT"]).run()
    names = list(page.dataframe[0].value["name"])
    assert names == [entry.name for entry in backbone_catalogue() if entry.family == "BERT"]


def test_the_plan_counts_the_kept_layers_before_anything_starts(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("backbones")
    page.selectbox(key="text backbone").set_value("bert-large").run()
    page.selectbox(key="image backbone").set_value("vit-base").run()
    bert, vit = find_entry("bert-large"), find_entry("vit-base")
    assert bert and vit
    kept = {"text": choose_layers("even", 24), "image": choose_layers("even", 12)}
    per_item = 2 * (len(kept["text"]) * 1024 + len(kept["image"]) * 768)
    metrics = {m.label: m.value for m in page.metric}
    assert metrics["Kept per item"] == f"{per_item / 1000:.1f} kB"
    assert metrics["Cache"] == f"{per_item * 240 / 1e6:.1f} MB"
    assert metrics["Fits on the disk"] == "yes"


def test_a_model_that_reads_picture_and_text_together_is_offered(
    shop: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(extraction, "start", lambda argv, **how: started.append(argv))
    page = open_page("backbones")
    page.selectbox(key="text backbone").set_value("none").run()
    page.selectbox(key="image backbone").set_value("none").run()
    page.selectbox(key="joint backbone").set_value("qwen3-vl-2b").run()
    assert {m.label: m.value for m in page.metric}["Kept per item"] == f"{15 * 2048 * 2 / 1000:.1f} kB"
    page.button(key="start extraction").click().run()
    assert started[0][2:4] == ["--joint", "qwen3-vl-2b"]


def test_a_layer_choice_that_does_not_fit_is_a_sentence(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("backbones")
    page.selectbox(key="text backbone").set_value("bert-base")
    page.button_group(key="layers").set_value("own choice").run()
    page.text_input(key="own layers").set_value("0,99").run()
    assert "layer 99 does not exist" in page.error[0].value.lower().replace("\\", "")


def test_start_calls_the_verb_as_a_job(shop: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(extraction, "start", lambda argv, **how: started.append((argv, how["device"])))
    page = open_page("backbones")
    page.selectbox(key="text backbone").set_value(str(shop.backbones / "demo-text")).run()
    page.button(key="start extraction").click().run()
    ((argv, device),) = started
    assert argv[:4] == ["extract", str(shop.datasets / "demo"), "--text", str(shop.backbones / "demo-text")]
    assert argv[argv.index("--layers") + 1] == "even"
    assert device == "auto"


def test_caches_are_listed_and_asked_about_before_they_are_deleted(own_shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("backbones", view="Caches")
    assert "2 caches" in shown(page)
    button = next(b for b in page.button if b.key and b.key.startswith("delete") and "image-" in b.key)
    folder = own_shop.root / "caches" / str(button.key).removeprefix("delete ")
    assert folder.is_dir()
    button.click().run()
    assert folder.is_dir(), "it asks first"
    assert page.button(key="really delete").label == "Delete"


def test_a_damaged_cache_is_listed_with_its_fault(own_shop: Workspace, open_page: OpenPage) -> None:
    manifest = next((own_shop.root / "caches").glob("*/text-*/manifest.json"))
    manifest.write_text("{")
    page = open_page("backbones", view="Caches")
    assert "not valid JSON" in shown(page).replace("\\", "")
    assert "2 caches" in shown(page)


def test_shapes_are_known_without_loading(shop: Workspace) -> None:
    own = shape_of(str(shop.backbones / "demo-text"), "text")
    assert own is not None
    assert len(set(own.widths)) == 1
    assert shape_of("nobody/nothing", "text") is None


def test_a_ladder_marks_the_wider_side_with_transformation_layers() -> None:
    image = Ladder("image", "a", (768,) * 13, tuple(choose_layers("group:7", 12)))
    text = Ladder("text", "b", (1024,) * 25, tuple(choose_layers("group:7", 24)))
    drawn = ladder_chart([image, text])
    diamonds = [t for t in drawn.data if t.marker.symbol == "diamond"]
    assert len(diamonds) == 7
    assert all("1,024 → 768" in t.hovertemplate for t in diamonds)
    blocks = next(t for t in drawn.data if t.marker.symbol == "square")
    assert len(blocks.x) == 7
    assert ladder_chart([text]).data, "one alone has no inter network"


def test_what_lies_here_is_proposed(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("backbones")
    chosen = {box.key: box.value for box in page.selectbox}
    assert chosen["text backbone"] == str(shop.backbones / "demo-text")
    assert chosen["image backbone"] == str(shop.backbones / "demo-image")
    assert len(page.get("plotly_chart")) == 1
