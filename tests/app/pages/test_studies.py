"""Studies, searches and presets on the Train page: their cost, their start, their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from app.commands import options
from app.ui import presets, study_form
from app.ui.presets import as_yaml
from iisan_core.config.presets import load_preset, preset_names, save_preset
from iisan_core.errors import RefusedError
from iisan_core.runs.workspace import Workspace

from .conftest import OpenPage, shown


def test_the_studies_and_spaces_of_the_shell_are_offered() -> None:
    assert set(study_form.STUDIES) == set(options.STUDIES)
    assert list(study_form.SPACES) == list(options.SPACES)


def _named(elements: Any, label: str) -> Any:
    return next(element for element in elements if element.label == label)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    found: list[list[str]] = []
    monkeypatch.setattr(study_form, "start", lambda argv, workspace, device: found.append([*argv]))
    return found


def test_the_baselines_are_a_study_with_its_cost(
    shop: Workspace, open_page: OpenPage, started: list[list[str]]
) -> None:
    page = open_page("train", view="Study or search")
    figures = {metric.label: metric.value for metric in page.metric}
    assert figures["Trainings"] == str(8 * 3 + 2), "popularity and item-kNN are counted once"
    assert figures["Time, at most about"] != "not known"
    assert "10 configurations" in shown(page)
    _named(page.number_input, "Seeds").set_value(2).run()
    _named(page.button, "Start the study").click().run()
    (argv,) = started
    assert argv[:2] == ["study", "baselines"]
    assert argv[2:7] == [str(shop.datasets / "demo"), "--preset", "demo", "--seeds", "2"]
    assert argv.count("--cache") == 2


def test_a_search_has_limits_and_names_its_winner(
    shop: Workspace, open_page: OpenPage, started: list[list[str]]
) -> None:
    page = open_page("train", view="Study or search")
    _named(page.selectbox, "Study").set_value("search").run()
    _named(page.number_input, "Trials at most").set_value(7)
    _named(page.number_input, "Minutes at most").set_value(2.5)
    _named(page.text_input, "Name of the winner's preset").set_value("winner")
    _named(page.text_input, "Changes to the preset").set_value("training.epochs=2").run()
    _named(page.button, "Start the study").click().run()
    assert started[0][-8:] == ["--space", "rates", "--trials", "7", "--minutes", "2.5", "--save-as", "winner"]
    assert started[0][started[0].index("--set"):][:2] == ["--set", "training.epochs=2"]  # fmt: skip


def test_what_cannot_be_studied_says_why_and_does_not_start(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("train", view="Study or search")
    _named(page.selectbox, "Study").set_value("scaling").run()
    assert "nothing to compare" in page.warning[0].value
    assert "Start the study" not in [button.label for button in page.button]
    _named(page.selectbox, "Study").set_value("ablation").run()
    _named(page.text_input, "Changes to the preset").set_value("training.epochs=none").run()
    assert "epochs" in page.warning[0].value and not page.error


def test_presets_are_shown_in_full_and_own_ones_can_go(own_shop: Workspace, open_page: OpenPage) -> None:
    save_preset("mine", load_preset("text"))
    page = open_page("train", view="Presets")
    _named(page.selectbox, "Preset").set_value("mine").run()
    assert yaml.safe_load(page.code[0].value) == yaml.safe_load(as_yaml(load_preset("text")))
    _named(page.button, "Remove").click().run()
    assert "mine" not in preset_names()
    assert "Remove" not in [button.label for button in page.button]


def test_a_preset_goes_out_as_yaml_and_comes_back(workspace: Path) -> None:
    preset = load_preset("movielens")
    presets._import(as_yaml(preset).encode(), "movielens.yaml", "again")
    assert load_preset("again") == preset


@pytest.mark.parametrize(
    ("content", "name", "why"),
    [
        (b"{", "fine", "not valid YAML"),
        (b"\xff\xfe", "fine", "not valid YAML"),
        (b"description: x\nmeasured: y\nlayers: 3\n", "fine", "unknown key"),
        (b"description: x\nmeasured: y\n", "demo", "come with the program"),
        (b"description: x\nmeasured: y\n", "../out", "cannot name a preset"),
        (b"#" * (presets.MOST_BYTES + 1), "fine", "larger than a preset"),
    ],
)
def test_files_that_are_no_presets_are_refused(workspace: Path, content: bytes, name: str, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        presets._import(content, "given.yaml", name)
    assert not (workspace / "presets").exists()


def test_settings_of_the_form_are_kept_as_a_preset(own_shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("train")
    _named(page.number_input, "Epochs").set_value(5)
    _named(page.text_input, "Name of the preset").set_value("mine").run()
    next(button for button in page.button if button.label == "Save").click().run()
    assert load_preset("mine").training.epochs == 5
    assert "Preset mine is there" in shown(page)
    next(button for button in page.button if button.label == "Save").click().run()
    assert any("there is a preset mine already" in error.value.lower() for error in page.error)
