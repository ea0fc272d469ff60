import pytest
import torch

from iisan_core.config.presets import load_preset, preset_names, save_preset, with_settings
from iisan_core.config.schema import RunConfig, validated
from iisan_core.errors import RefusedError
from iisan_core.model.recommender import ModelShape, RecommenderModel
from iisan_core.training.optimizer import make_optimizer

BASE = {"dataset": "d", "caches": {"text": "t"}, "training": {"epochs": 3, "seed": 1}}


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_describes_itself(name):
    preset = load_preset(name)
    assert preset.description.endswith(".")
    groups = preset.model_dump(include={"protocol", "model", "training", "baseline"})
    caches = {"image": "i", "text": "t"} if preset.modalities is None else dict.fromkeys(preset.modalities, "c")
    RunConfig.model_validate({"dataset": "d", "caches": caches, **groups})


def test_a_preset_makes_a_run_of_a_dataset_and_its_caches():
    preset = load_preset("demo")
    config = preset.config(dataset="d", caches={"image": "i", "text": "t"}, settings=["training.epochs=3"])
    assert (config.dataset.name, list(config.caches)) == ("d", ["image", "text"])
    assert (config.model, config.training.epochs) == (preset.model, 3)
    with pytest.raises(RefusedError, match=r"training\.epoch: unknown key"):
        preset.config(dataset="d", caches={"text": "t"}, settings=["training.epoch=3"])


def test_the_papers_presets_hold_the_papers_settings():
    for form, head in (("paper", "stacked"), ("paper-versa", "stacked-versa")):
        amazon, microlens = load_preset(f"{form}-amazon"), load_preset(f"{form}-microlens")
        assert {amazon.model.head, microlens.model.head} == {head}
        assert (amazon.training.batch_size, microlens.training.batch_size) == (64, 512)
        assert (amazon.model.bottlenecks, microlens.model.bottlenecks) == ({}, {"image": 512})
        assert (amazon.training.epochs, microlens.training.epochs) == (100, 200)
        for preset in (amazon, microlens):
            assert (preset.training.learning_rate, preset.training.san_learning_rate) == (2e-4, 1e-4)
            assert preset.training.patience == 11
            assert preset.measured


@pytest.mark.parametrize("name", [name for name in preset_names() if name.startswith("paper-")])
def test_the_papers_rates_by_name(name):
    """Text head's inner linear, image head's inner linear and image gates, SANs; all else at 2e-4."""
    preset = load_preset(name)
    widths = {"image": (8, 8), "text": (16, 16)}
    with torch.device("meta"):
        model = RecommenderModel(ModelShape(widths=widths, max_history=3, config=preset.model))
    rates = {p: group["lr"] for group in make_optimizer(model, preset.training).param_groups for p in group["params"]}
    for weight, parameter in model.named_parameters():
        if "heads.text.inner" in weight:
            expected = 5e-5
        elif (".block." in weight and weight.startswith("items.towers")) or "heads.image.inner" in weight:
            expected = 1e-4
        else:
            expected = 1e-4 if weight == "items.towers.image.gate" else 2e-4
        assert rates[parameter] == expected, weight


def test_an_unknown_preset_is_refused_naming_the_others():
    with pytest.raises(RefusedError, match=r"no preset 'nonsense'; there are .*paper-amazon, paper-microlens"):
        load_preset("nonsense")


def test_settings_are_laid_over_values_and_leave_them_alone():
    before = {key: dict(v) if isinstance(v, dict) else v for key, v in BASE.items()}
    found = with_settings(BASE, ["training.epochs=9", "model.head=stacked", "model.modality_dropout=null"])
    assert found == {
        **BASE,
        "training": {"epochs": 9, "seed": 1},
        "model": {"head": "stacked", "modality_dropout": None},
    }
    assert before == BASE


def test_the_last_of_two_settings_counts_and_values_may_hold_equals_signs():
    assert with_settings({}, ["a.b=1", "a.b=x=y"]) == {"a": {"b": "x=y"}}


@pytest.mark.parametrize("setting", ["epochs=5", "training.epochs", "training.=5", "", "=5"])
def test_settings_of_another_form_are_refused(setting):
    with pytest.raises(RefusedError, match=r"is not of the form group.key=value, such as training.epochs=5"):
        with_settings(BASE, [setting])


def test_a_value_that_is_no_yaml_is_refused():
    with pytest.raises(RefusedError, match=r"setting 'training.epochs=\[': the value is not valid YAML"):
        with_settings(BASE, ["training.epochs=["])


def test_a_setting_below_a_plain_value_is_refused():
    with pytest.raises(RefusedError, match=r"setting 'dataset.name=1': dataset is a single value .* found 'd'"):
        with_settings(BASE, ["dataset.name=1"])


@pytest.mark.parametrize("key", ["epoch", "epochs.most"])
def test_an_unknown_key_is_refused_with_the_whole(key):
    with pytest.raises(RefusedError, match=f"training.{key}: unknown key"):
        validated(RunConfig, with_settings(BASE, [f"training.{key}=5"]), where="settings")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder of presets of one's own, of an empty workspace."""
    monkeypatch.setenv("IISAN_WORKSPACE", str(tmp_path))
    return tmp_path / "presets"


def test_a_preset_of_ones_own_is_offered_like_ours(own):
    ours = preset_names()
    mine = load_preset("text").model_copy(update={"description": "Mine.", "measured": "Nothing."})
    assert save_preset("mine", mine) == own / "mine.yaml"
    assert preset_names() == [*ours, "mine"]
    assert load_preset("mine") == mine
    with pytest.raises(RefusedError, match=r"no preset 'yours'; there are .*, mine$"):
        load_preset("yours")


@pytest.mark.parametrize(
    ("name", "message"), [("text", "one of the presets that come"), ("a/b", "cannot name a preset")]
)
def test_names_that_a_preset_of_ones_own_cannot_have(own, name, message):
    with pytest.raises(RefusedError, match=message):
        save_preset(name, load_preset("text"))
    assert not own.exists()


def test_a_file_of_the_name_of_ours_changes_nothing(own):
    ours = load_preset("text")
    own.mkdir()
    (own / "text.yaml").write_text("description: Mine.")
    assert preset_names().count("text") == 1
    assert load_preset("text") == ours


def test_faults_of_ones_own_are_named_with_the_file(own):
    own.mkdir()
    (own / "mine.yaml").write_text("description: Mine.\ntraining: {epoch: 3}\n")
    with pytest.raises(RefusedError, match=r"mine\.yaml cannot be used:\n(.*\n)*  training\.epoch: unknown key"):
        load_preset("mine")
