"""The Train page and a run's page against prepared folders: nothing there, a form, runs in every state."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from app.jobs import process
from data_tools.writing import write_dataset
from iisan_core.cache.manifest import CacheManifest
from iisan_core.config.presets import load_preset, save_preset
from iisan_core.config.schema import RunConfig
from iisan_core.files import read_json, write_json, write_text
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.status import Steps

APP = """
import streamlit as st
from app.ui.layout import PAGES, TITLES
st.session_state["navigation"] = True
found = list(TITLES)
st.navigation([st.Page(PAGES / f"{name}.py", title=name, default=name == "OPENED") for name in found]).run()
"""
"""The app, opened at a page."""
EPOCHS = [
    {"event": "epoch", "epoch": n, "loss": 5.0 - n, "seconds": 2.0, "valid": {"HR@10": 3.0 * n, "NDCG@10": 1.0 * n}}
    for n in (1, 2, 3)
]


def page(**query: str) -> AppTest:
    test = AppTest.from_string(APP.replace("OPENED", "runs" if "run" in query else "train"), default_timeout=30)
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def shown(test: AppTest) -> str:
    """All text of a page."""
    assert not test.exception
    assert not [error.value for error in test.error if "nobody foresaw" in error.value]
    kinds = ("title", "subheader", "markdown", "caption", "error", "warning", "info", "code", "metric")
    return "\n".join(str(element.value) for kind in kinds for element in getattr(test, kind))


def metrics(test: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in test.metric}


def buttons(test: AppTest) -> list[str]:
    return [button.label for button in own_buttons(test)]


def own_buttons(test: AppTest) -> list[Any]:
    """Without those of the jobs, which every page has."""
    return [button for button in test.button if not str(button.key).startswith(("panel", "dismiss all"))]


@pytest.fixture
def shop(workspace: Path) -> Path:
    """A workspace with a dataset."""
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(9)], "title": ["x"] * 9, "image": ["a.png"] * 9})
    log = pl.DataFrame({"user_id": ["u"] * 9, "item_id": items["item_id"], "timestamp": range(9)})
    folder = workspace / "datasets" / "shop"
    write_dataset(folder, name="shop", source="made by a test", items=items, interactions=log, images={"a.png": b""})
    return folder


@pytest.fixture
def caches(workspace: Path, shop: Path) -> dict[str, Path]:
    """Its caches: what the form reads of them."""
    found = {}
    for modality in ("image", "text"):
        plan = CacheManifest(
            dataset="shop", modality=modality, backbone=f"tiny/{modality}er", revision="1", compute_dtype="float32",
            pooling="mean", layers=(0, 1, 2), widths=(4, 4, 4), dtype="float16", text_fields=("title",), max_tokens=30,
            image_size=None, items=9, shard_size=9, ids_sha256="0", inputs_sha256="0", libraries={}, complete=True,
        )  # fmt: skip
        found[modality] = workspace / "caches" / "shop" / f"{modality}-one"
        write_json(found[modality] / "manifest.json", plan.model_dump(mode="json"))
    return found


@pytest.fixture
def config(shop: Path, caches: dict[str, Path]) -> RunConfig:
    return load_preset("default").config(dataset=shop, caches=caches, settings=["training.epochs=7"])


@pytest.fixture
def make_run(workspace: Path, config: RunConfig) -> Any:
    """A run folder in some state, three epochs old."""

    def make(name: str, state: Any, *, epochs: int = 3, **values: Any) -> RunFolder:
        run = RunFolder.create(workspace / "runs" / name, config=config, command=f"iisan train shop --run {name}")
        for event in EPOCHS[:epochs]:
            run.append_event(event | {"at": time.time() + 4.0 * event["epoch"] - 12})
        run.write_status(state, epoch=epochs, epochs=7, **values)
        write_text(run.log, "epoch 3: loss 2.0\n")
        return run

    return make


def test_an_empty_workspace_says_what_to_do(workspace: Path) -> None:
    test = page()
    assert "No dataset yet" in shown(test)
    assert "Start training" not in buttons(test)


def test_a_dataset_without_caches_leads_to_the_backbones(shop: Path) -> None:
    assert "No cached states yet" in shown(page())


def test_the_form_offers_the_settings_that_matter_and_the_command(caches: dict[str, Path], shop: Path) -> None:
    test = page()
    labels = [widget.label for widget in (*test.number_input, *test.selectbox, *test.text_input, *test.toggle)]
    assert {"Epochs", "Batch size", "Learning rate", "Seed", "Image states", "Text states", "Device"} <= set(labels)
    assert {"Bottleneck r", "Standardize", "Modality dropout", "Min interactions"} <= set(labels)
    assert "imageer, 3 layers, mean, 216 B" in named(test.selectbox, "Image states").options
    command, configuration = (code.value for code in test.code)
    assert command.splitlines()[0] == f"iisan train {shop} --preset default \\"
    assert f"  --cache {caches['text']} \\" in command.splitlines()
    assert command.endswith(f"--run {shop.parents[1]}/runs/shop-image-text-1")
    assert "--set" not in command
    assert "batch_size: 128" in configuration
    assert not named(own_buttons(test), "Start training").disabled


def test_presets_of_ones_own_are_offered_and_faults_are_said(caches: dict[str, Path], shop: Path) -> None:
    save_preset("mine", load_preset("text").model_copy(update={"modalities": None}))
    write_text(shop.parents[1] / "presets" / "odd.yaml", "training: {epoch: 3}")
    test = page()
    choice = next(each for each in test.selectbox if "paper-amazon" in each.options)
    assert choice.options[-2:] == ["mine", "odd"]
    choice.set_value("mine").run()
    assert test.code[0].value.startswith(f"iisan train {shop} --preset mine")
    choice.set_value("odd").run()
    assert "unknown key; remove it or correct its spelling" in shown(test)


def named(elements: Any, label: str) -> Any:
    (found,) = [element for element in elements if element.label == label]
    return found


def test_what_is_changed_stands_in_the_command(caches: dict[str, Path], shop: Path) -> None:
    test = page()
    named(test.number_input, "Epochs").set_value(5)
    named(test.selectbox, "Image states").set_value("leave out")
    named(test.toggle, "Inter").set_value(False)
    named(test.text_input, "Layers").set_value("{text: even}")
    test.run()
    command = test.code[0].value
    assert [line.strip(" \\") for line in command.splitlines()[1:-1]] == [
        f"--cache {caches['text']}",
        "--set training.epochs=5",
        "--set model.inter=false",
        "--set 'model.layers={text: even}'",
    ]
    assert command.endswith("runs/shop-text-1")


def test_faults_stand_at_their_fields_and_nothing_starts(caches: dict[str, Path], shop: Path) -> None:
    test = page()
    named(test.number_input, "Epochs").set_value(0)
    named(test.number_input, "Heads").set_value(7)
    named(test.text_input, "Modality dropout").set_value("often")
    named(test.text_input, "Name of the run").set_value("../elsewhere")
    test.run()
    said = shown(test)
    assert "Input should be greater than or equal to 1" in said
    assert "Input should be a valid number" in said
    assert "letters, digits, dots" in said
    assert named(own_buttons(test), "Start training").disabled
    assert "to correct first" in said
    named(test.number_input, "Epochs").set_value(3)
    named(test.text_input, "Modality dropout").set_value("")
    test.run()
    assert "embedding 128 is not divisible by heads 7" in shown(test)
    named(test.number_input, "Heads").set_value(2)
    named(test.text_input, "Name of the run").set_value("here")
    test.run()
    assert not named(own_buttons(test), "Start training").disabled
    assert ":red[" not in shown(test)


def test_start_starts_and_shows_the_run(
    caches: dict[str, Path], shop: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def start_run(config: RunConfig, path: Path, *, command: str) -> RunFolder:
        run = RunFolder.create(path, config=config, command=command)
        run.write_status("starting")
        started.append(config)
        return run

    monkeypatch.setattr("app.ui.train_form.start_run", start_run)
    test = page()
    named(test.number_input, "Seed").set_value(4)
    named(test.text_input, "Name of the run").set_value("mine")
    test.run()
    named(own_buttons(test), "Start training").click().run()
    assert started[0].training.seed == 4
    assert test.subheader[0].value == "mine"
    assert (workspace / "runs" / "mine" / "command.txt").read_text().startswith("iisan train ")
    assert "\n" not in RunFolder(workspace / "runs" / "mine").command()
    assert buttons(test) == ["Stop"]


def test_a_start_that_is_refused_says_why(caches: dict[str, Path], shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start_run(*given: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.ui.train_form.start_run", start_run)
    test = page()
    named(own_buttons(test), "Start training").click().run()
    assert "No space left on device" in test.error[0].value


def test_a_running_run(make_run: Any) -> None:
    make_run("one", "running", steps=Steps(doing="epoch 4, loss 1.5", done=3, total=6))
    test = page(run="one")
    assert test.subheader[0].value == "one"
    figures = metrics(test)
    assert (figures["Epoch"], figures["Best HR@10"]) == ("3 / 7", "9.00")
    assert figures["Time left"] in {f"{4 * 4 - begun} s" for begun in range(5)}  # four epochs of four seconds
    assert buttons(test) == ["Stop"]
    assert "loss 2" in shown(test)
    assert len(test.get("plotly_chart")) == 2


def test_a_pause_before_a_resume_is_no_part_of_the_time_left(make_run: Any) -> None:
    run = make_run("one", "running", epochs=0)
    for event, at in zip(EPOCHS, (-7204.0, -7200.0, -4.0), strict=True):
        run.append_event(event | {"at": time.time() + at})
    run.append_event(EPOCHS[2] | {"epoch": 4, "at": time.time()})
    run.write_status("running", epoch=4, epochs=7)
    assert metrics(page(run="one"))["Time left"] in {f"{3 * 4 - begun} s" for begun in range(5)}


def test_a_queued_run_says_behind_whom(make_run: Any) -> None:
    make_run("one", "queued", epochs=0, message="waits for cpu, behind other (process 7)")
    test = page(run="one")
    assert "Waits for cpu, behind other" in test.info[0].value.replace("\\", "")
    assert "Stop" in buttons(test)


@pytest.mark.parametrize(
    ("state", "message"), [("failed", "the disk is full; free some space"), ("interrupted", ""), ("stopped", "")]
)
def test_what_broke_off_says_so_and_can_be_resumed(
    make_run: Any, state: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("one", "running" if state == "interrupted" else state, message=message)
    if state == "interrupted":
        path = run.path / "status.json"
        write_json(path, read_json(path, what="status") | {"pid": 2**22 + 1})
    resumed: list[RunFolder] = []
    monkeypatch.setattr("app.ui.train_monitor.start_again", resumed.append)
    test = page(run="one")
    assert buttons(test) == ["Resume"]
    said = shown(test).replace("\\", "")
    assert {"failed": "The disk is full", "interrupted": "vanished without a word"}.get(state, "") in said
    named(own_buttons(test), "Resume").click().run()
    assert resumed == [run]


def test_a_stopped_run_with_a_best_epoch_can_be_finished(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("one", "stopped")
    finish = "Finish at best epoch"
    assert finish not in buttons(page(run="one")), "there is none yet"
    run.best.mkdir()
    (run.best / "model.safetensors").write_bytes(b"")
    spawned: list[tuple[str, RunFolder]] = []
    seen = lambda verb, folder, output, options: spawned.append((verb, folder)) or os.getpid()  # noqa: E731
    monkeypatch.setattr(process, "spawn", seen)
    test = page(run="one")
    named(own_buttons(test), finish).click().run()
    assert spawned == [("finish", run)]
    assert run.status().state == "starting"


def test_stopping_shows_every_step(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("one", "running")

    def stop_detached(run: RunFolder) -> None:
        stages = process.stop(run, patience=0.0)
        assert next(stages).action == "asked"
        monkeypatch.setattr(os, "kill", lambda pid, number: None)
        assert next(stages).action == "terminated"

    monkeypatch.setattr("app.ui.train_monitor.stop_detached", stop_detached)
    test = page(run="one")
    named(own_buttons(test), "Stop").click().run()
    said = shown(test)
    assert "Asked to stop" in said
    assert "sent SIGTERM" in said
    assert named(own_buttons(test), "Stop").disabled
    assert run.stop_asked()


def test_a_finished_run_shows_its_test_figures(make_run: Any) -> None:
    run = make_run("one", "finished")
    run.write_results({"quality": {"test": {"HR@10": 12.345, "NDCG@10": 6.7}}})
    test = page(run="one")
    shown(test)
    figures = metrics(test)
    assert (figures["Test HR@10"], figures["An epoch"]) == ("12.35", "2 s")
    assert not [expander.label for expander in test.expander if "Beyond accuracy" in expander.label]


def test_a_finished_run_says_what_its_lists_are_like(make_run: Any) -> None:
    run = make_run("one", "finished")
    quality = {"test": {"HR@10": 12.345, "NDCG@10": 6.7}}
    run.write_results({"quality": quality, "beyond": {"Coverage@10": 41.234, "Diversity@10": None}})
    said = shown(page(run="one"))
    assert "**Coverage@10** 41.23 · share of the catalogue" in said
    assert "**Diversity@10** – · how unlike" in said


def test_a_new_run_from_a_run_takes_its_settings_and_its_dataset(make_run: Any, shop: Path) -> None:
    make_run("one", "stopped")
    shutil.copytree(shop, shop.with_name("another"))  # the first in the list
    link = next(link for link in page(run="one").get("page_link") if link.proto.label == "New run from this run")
    assert (link.proto.page, link.proto.query_string) == ("train", "like=one")
    test = page(like="one")
    assert named(test.number_input, "Epochs").value == 7
    assert "--set training.epochs=7" in test.code[0].value
    assert "Settings of run **one**" in shown(test)
    assert "--cache" in test.code[0].value
    assert f"iisan train {shop} " in test.code[0].value
    named(own_buttons(test), "Use a preset").click().run()
    assert named(test.number_input, "Epochs").value == load_preset("default").training.epochs


def test_one_broken_run_hides_no_other(make_run: Any, workspace: Path) -> None:
    make_run("good", "stopped")
    write_text(make_run("torn", "stopped").path / "status.json", "{")
    table = page(run="").dataframe[0].value
    assert dict(zip(table["run"], table["state"], strict=True)) == {"good": "stopped", "torn": "broken"}
    assert "not valid JSON" in page(run="torn").error[0].value
    assert page(run="good").subheader[0].value == "good"


def test_a_run_of_another_version_is_refused_and_offers_nothing(make_run: Any) -> None:
    write_text(make_run("old", "stopped").path / "config.yaml", "format: 9\n")
    test = page(run="old")
    assert "unknown key" in test.error[0].value
    assert "Resume" not in buttons(test)


@pytest.mark.parametrize("name", ["../shop", "..", ".", "/etc", "../../etc", "a/../../b", "nobody", "<b>x</b>"])
def test_an_address_that_names_no_run_says_so_and_shows_no_other(make_run: Any, name: str) -> None:
    make_run("one", "stopped")
    said = shown(page(run=name)).replace("\\", "")
    assert f"There is no run called {name}" in said
    assert "Resume" not in buttons(page(run=name)) and "<b>one" not in said
    assert "Start training" in buttons(page(like=name))


def test_an_address_of_before_leads_to_the_run_s_page(make_run: Any) -> None:
    make_run("one", "stopped")
    test = AppTest.from_string(APP.replace("OPENED", "train"), default_timeout=30)
    test.query_params["run"] = "one"
    assert test.run().subheader[0].value == "one"


def test_what_is_at_work_stands_on_every_page(make_run: Any) -> None:
    make_run("one", "running")
    test = page()
    links = [(link.proto.label, link.proto.query_string) for link in test.get("page_link")]
    assert ("Training of one on shop", "run=one") in [(label.replace("\\", ""), query) for label, query in links]
    assert [button.key for button in test.button if str(button.key).startswith("panel")] == ["panel runs/one stop"]


@pytest.mark.parametrize("said", [None, "", '{"quality": {"te', "[" * 100_000, '{"quality": 5}', "[]"])
def test_a_finished_run_whose_results_are_damaged_shows_the_rest(make_run: Any, said: str | None) -> None:
    run = make_run("one", "finished")
    if said is not None:
        (run.path / "results.json").write_text(said)
    test = page(run="one")
    assert metrics(test)["Test HR@10"] == "–"
    assert metrics(test)["Best HR@10"] == "9.00"
    assert "results" in shown(test) or said is None
