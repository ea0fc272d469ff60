"""A workspace that was moved, or copied beside the original, works with all that it holds: every verb, every page.

Two kinds of records: such as are written now, and those of the first edition, which name absolute places. The files are
those of `fixtures/first_edition`, named anew by `iisan doctor --mend` for the first kind.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import streamlit as st
import yaml
from streamlit.testing.v1 import AppTest

from app.jobs.listing import open_folder
from iisan_core import Dataset, Recommender, RunFolder, Workspace, ensure_trained, load_config
from iisan_core.errors import RefusedError
from iisan_core.runs.moved import records_of
from tests.test_first_edition import EXPECTED, FIXTURE, PLACEHOLDER, QUICK, TEXTS, Outcome, Shell, shell

__all__ = ["shell"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # transformers leaves one open
    pytest.mark.usefixtures("one_thread"),
]
PAGES = ("home", "data", "backbones", "train", "recommendations", "compare")
MAIN = Path(__file__).parents[1] / "app" / "main.py"


def old_workspace(root: Path) -> Path:
    """The first edition's, as it stood at `root`."""
    shutil.copytree(FIXTURE / "workspace", root)
    for path in root.rglob("*"):
        if path.suffix in TEXTS:
            path.write_text(path.read_text(encoding="utf-8").replace(PLACEHOLDER, str(root)), encoding="utf-8")
    return root


@pytest.fixture(params=["records of now", "records of before"])
def original(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    root = old_workspace(tmp_path / "original" / "workspace")
    if request.param == "records of now":
        for record in records_of(root):
            record.mend()
        assert str(root) not in (root / "runs" / "both" / "config.yaml").read_text()
    return root


@pytest.fixture(params=[shutil.move, shutil.copytree], ids=["moved", "copied"])
def workspace(
    request: pytest.FixtureRequest, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    """Where it lies now."""
    root = tmp_path / "now"
    request.param(str(original), str(root))
    monkeypatch.setenv("IISAN_WORKSPACE", str(root))
    monkeypatch.chdir(tmp_path)
    return Workspace(root)


def test_verbs_that_read_runs_work(workspace: Workspace, shell: Shell) -> None:
    run = workspace.runs / "both"
    anew = shell("evaluate", run, "--anew", "--json").facts
    assert anew[0]["HR@10"] == pytest.approx(EXPECTED["both"]["anew"][0]["HR@10"], abs=1e-4)
    (answer,) = shell("recommend", run, "--user", "u00", "-k", 5, "--json").facts
    assert [item["item_id"] for item in answer["recommended"]] == [
        item["item_id"] for item in EXPECTED["both"]["users"][0]
    ]
    assert shell("explain", run, "--user", "u00", "--item", "i08", "--json").facts["parts"]
    assert len(shell("compare", run, workspace.runs / "ids", "--json").facts) == 2


def test_what_lies_on_the_shelves_is_the_datasets(workspace: Workspace, shell: Shell) -> None:
    dataset = Dataset.load(workspace.datasets / "shop")
    found = workspace.only_caches(dataset, modalities=["image", "text"])
    assert {path.parent for path in found.values()} == {workspace.root / "caches" / "shop"}
    listed = shell("cache", "list", dataset.folder, "--json").facts
    assert {facts["modality"] for facts in listed} == {"image", "text", "caption"}
    assert shell("cache", "gc", dataset.folder, "--json").code == 0
    bert = workspace.backbones / "tiny-bert"
    planned = shell("plan", dataset.folder, "--text", bert, "--no-probe", "--json")
    assert planned.facts["encoders"]["text"]["download_bytes"] == 0


def test_an_extraction_finds_its_cache_again(workspace: Workspace, shell: Shell) -> None:
    bert = workspace.backbones / "tiny-bert"
    made = shell("extract", workspace.datasets / "shop", "--text", bert, "--layers", "all", "--device", "cpu", "--json")
    assert Path(made.facts[0]["cache"]).name == EXPECTED["caches"]["text"]
    assert "was there already" in made.err


def test_a_stopped_run_goes_on(workspace: Workspace, shell: Shell) -> None:
    assert shell("resume", workspace.runs / "stopped").code == 0
    losses = [event["loss"] for event in RunFolder.open(workspace.runs / "stopped").events()]
    assert losses == pytest.approx(EXPECTED["resumed"]["losses"], rel=0.01)


def test_a_study_goes_on_and_leaves_what_is_done(workspace: Workspace, shell: Shell) -> None:
    done = workspace.root / "studies" / "ablation" / "intra-inter-seed0" / "results.json"
    before = done.stat().st_mtime_ns
    paper = ("training=last", "catalogue=interacted", "masked=kept")  # as the runs of before were trained
    settings = [*QUICK, *(word for setting in paper for word in ("--set", f"protocol.{setting}"))]
    words = [
        "study",
        "ablation",
        workspace.datasets / "shop",
        "--preset",
        "plain",
        *settings,
        "--set",
        "training.epochs=2",
        "--seeds",
        1,
    ]
    caches = [word for name in ("image", "text") for word in ("--cache", _cache(workspace, name))]
    ended = shell(*words, *caches, "--folder", done.parents[1], "--json")
    assert ended.code == 0, ended.err
    assert done.stat().st_mtime_ns == before


def test_a_configuration_of_now_is_the_run_of_then(workspace: Workspace) -> None:
    """What a notebook does that finds its run there."""
    caches = {name: _cache(workspace, name) for name in ("image", "text")}
    asked = RunFolder.open(workspace.runs / "both").config()
    asked = asked.model_copy(update={"dataset": workspace.datasets / "shop", "caches": caches})
    assert ensure_trained(asked, workspace.runs / "both").status().state == "finished"
    other = asked.model_copy(update={"dataset": workspace.datasets})
    with pytest.raises(RefusedError, match="another configuration"):
        ensure_trained(other, workspace.runs / "both")


def test_a_runs_configuration_trains_another(workspace: Workspace, shell: Shell) -> None:
    config = workspace.runs / "ids" / "config.yaml"
    run = workspace.runs / "again"
    assert shell("train", "--config", config, "--set", "training.epochs=1", "--run", run).code == 0


def test_a_job_is_done_again_here(workspace: Workspace, shell: Shell) -> None:
    job = next(workspace.jobs.iterdir())
    card = open_folder(job).card()
    assert card.workspace == workspace.root
    assert str(workspace.datasets / "shop") in card.argv
    assert card.folder.is_dir()
    ended = shell("resume", job)
    assert ended.code == 0, ended.err
    assert str(workspace.root / "caches") in ended.err or "was there already" in ended.err


def test_new_items_go_through_the_backbones_here(workspace: Workspace) -> None:
    new = pl.DataFrame({"item_id": ["n1"], "title": ["blue bowl"]})
    larger = Recommender.load(workspace.runs / "both").add_items(new)
    found = [(item.item_id, item.cosine) for item in larger.similar_items("n1", k=3)]
    expected = [(item["item_id"], pytest.approx(item["cosine"], abs=1e-4)) for item in EXPECTED["added"]["n1"]]
    assert found == [pair for pair in expected if pair[0] != "n2"][:3]


@pytest.mark.parametrize("name", PAGES)
def test_pages_show_what_is_here(workspace: Workspace, name: str) -> None:
    st.cache_resource.clear()
    st.cache_data.clear()
    test = AppTest.from_file(str(MAIN), default_timeout=60)
    test.switch_page(f"pages/{name}.py")
    test.run()
    assert not test.exception
    said = "\n".join(str(e.value) for kind in ("markdown", "error", "warning", "caption") for e in getattr(test, kind))
    assert "has none" not in said
    assert "No cached states yet" not in said
    assert not [error.value for error in test.error]


def test_doctor_knows_how_the_records_stand(workspace: Workspace, original: Path, shell: Shell) -> None:
    (before,) = [each for each in shell("doctor", "--json").facts if each["what"] == "records"]
    copied_of_before = original.is_dir() and str(original) in (workspace.runs / "ids" / "config.yaml").read_text()
    assert before["state"] == ("missing" if copied_of_before else "good")
    if copied_of_before:
        assert before["remedy"].startswith("`iisan doctor --mend`")
    (after,) = [each for each in shell("doctor", "--mend", "--json").facts if each["what"] == "records"]
    assert after["state"] == "good"
    values = yaml.safe_load((workspace.runs / "both" / "config.yaml").read_text())
    assert values["dataset"] == "datasets/shop"
    assert values["caches"]["text"] == f"caches/shop/{EXPECTED['caches']['text']}"
    manifest = json.loads((_cache(workspace, "text") / "manifest.json").read_text())
    assert (manifest["dataset_folder"], manifest["backbone"]) == ("datasets/shop", "./backbones/tiny-bert")
    card = json.loads((next(workspace.jobs.iterdir()) / "job.json").read_text())
    assert card["workspace"] == "."
    assert "{workspace}/datasets/shop" in card["argv"]
    shutil.rmtree(workspace.root.with_name("original"))
    assert shell("evaluate", workspace.runs / "both", "--anew", "--json").code == 0


def test_what_is_gone_is_named(workspace: Workspace, original: Path, shell: Shell) -> None:
    shutil.rmtree(original, ignore_errors=True)
    shutil.rmtree(workspace.datasets / "shop")
    ended = shell("resume", workspace.runs / "stopped")
    assert ended.code == 2
    assert f"nothing is at {workspace.datasets / 'shop'}" in ended.err or f"nor at {workspace.datasets}" in ended.err
    assert "import the data again" in ended.err
    (said,) = [each for each in shell("doctor", "--json").facts if each["what"] == "records"]
    assert "name places where nothing is" in said["found"]
    assert load_config(workspace.runs / "ids" / "config.yaml").model.ids, "it can still be read"


def _cache(workspace: Workspace, name: str) -> Path:
    return workspace.root / "caches" / "shop" / str(EXPECTED["caches"][name])


def test_verbs_write_places_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell) -> None:
    """All that `extract`, `train` and a study write now."""
    root = old_workspace(tmp_path / "workspace")
    shutil.rmtree(root / "caches")
    monkeypatch.setenv("IISAN_WORKSPACE", str(root))
    monkeypatch.chdir(tmp_path)
    bert = "workspace/backbones/tiny-bert"
    made: Outcome = shell("extract", "workspace/datasets/shop", "--text", bert, "--device", "cpu", "--json")
    cache = Path(made.facts[0]["cache"])
    manifest = json.loads((cache / "manifest.json").read_text())
    assert (manifest["dataset_folder"], manifest["backbone"]) == ("datasets/shop", "./backbones/tiny-bert")
    one = [*QUICK, "--set", "training.epochs=1", "--cache", cache]
    assert shell("train", "workspace/datasets/shop", *one, "--run", "workspace/runs/new").code == 0
    for text in ((root / "runs" / "new" / "config.yaml").read_text(), (cache / "manifest.json").read_text()):
        assert str(tmp_path) not in text
