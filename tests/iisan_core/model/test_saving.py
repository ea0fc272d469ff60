import subprocess
import sys

import pytest
import torch

from iisan_core.config.schema import ModelConfig
from iisan_core.errors import RefusedError
from iisan_core.files import read_json, write_json
from iisan_core.model.recommender import ModelShape, RecommenderModel
from iisan_core.model.saving import load_model, save_model

SHAPE = ModelShape(
    widths={"text": (16, 16), "image": (16, 8)},
    missing=("image",),
    max_history=4,
    config=ModelConfig(bottleneck=4, embedding=8, head="stacked"),
)

BOTH = ("weight", "bias")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return RecommenderModel(SHAPE)


@pytest.fixture
def folder(tmp_path, model):
    save_model(model, tmp_path / "best")
    return tmp_path / "best"


def test_what_is_saved_is_loaded(folder, model):
    loaded = load_model(folder)
    assert loaded.shape == SHAPE
    assert list(loaded.shape.widths) == ["text", "image"], "the order of fusion is kept"
    assert not loaded.training
    expected = model.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_the_names_of_weights_stay_those_of_earlier_files(model):
    towers = ["gate", *(f"block.{k}.{end}.{kind}" for k in (0, 1) for end in ("down", "up") for kind in BOTH)]
    head = [f"{end}.{kind}" for end in ("inner", "outer") for kind in BOTH]
    expected = {f"items.towers.{name}.{weight}" for name in ("text", "image", "inter") for weight in towers}
    expected |= {f"items.heads.{name}.{weight}" for name in ("text", "image", "inter") for weight in head}
    expected |= {f"items.towers.image.align.0.{kind}" for kind in BOTH}
    expected |= {f"items.towers.inter.dtl.{layer}.{kind}" for layer in ("text.0", "text.1", "image.0") for kind in BOTH}
    expected |= {f"items.fusion.{kind}" for kind in BOTH} | {"items.stand_ins.image.vector"}
    block = ["attention.qkv.weight", "attention.out.weight"]
    block += [f"{part}.{kind}" for part in ("attention_norm", "wide", "narrow", "feed_forward_norm") for kind in BOTH]
    expected |= {f"users.block.{k}.{weight}" for k in (0, 1) for weight in block}
    assert set(model.state_dict()) == expected | {"users.position.weight", "users.norm.weight", "users.norm.bias"}


def test_a_second_save_replaces_the_first(folder, model):
    with torch.no_grad():
        model.items.fusion.bias.fill_(5)
    save_model(model, folder)
    assert load_model(folder).items.fusion.bias.tolist() == [5.0] * 8


def change(folder, value):
    write_json(folder / "config.json", read_json(folder / "config.json", what="model") | value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: change(f, {"max_history": 5}),
            r"model.safetensors does not fit .*config.json: users.position\S* should be \[5, 8\] and is \[4, 8\]",
        ),
        (lambda f: change(f, {"missing": []}), r"does not fit .*: items.stand_ins\S* should be absent and is \[24\]"),
        (
            lambda f: change(f, {"missing": ["image", "text"]}),
            r"does not fit .*: items.stand_ins.text\S* should be \[32\] and is absent",
        ),
        (
            lambda f: change(f, {"widths": {"text": [16, 10**8], "image": [16, 8]}}),
            r"should be \[.*100000000.*\] and is",
        ),
        (lambda f: change(f, {"widths": {"text": [16, 10**40], "image": [16, 8]}}), "does not fit"),
        (
            lambda f: change(f, {"widths": {"text": [16] * 10**6, "image": [16, 8]}}),
            "names 1,000,004 layers and blocks",
        ),
        (lambda f: change(f, {"max_history": 10**12}), r"should be \[1000000000000, 8\] and is \[4, 8\]"),
        (lambda f: change(f, {"surprise": 1}), "surprise: unknown key"),
        (lambda f: (f / "config.json").unlink(), "no model at"),
        (lambda f: (f / "config.json").write_text("{"), "is no model: not valid JSON"),
        (lambda f: (f / "model.safetensors").unlink(), "no weights at .*the run has no best epoch yet"),
        (lambda f: (f / "model.safetensors").write_bytes(b"short"), "does not fit"),
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-8]), "does not fit"),
    ],
)
def test_a_damaged_model_is_refused(folder, damage, message):
    damage(folder)
    with pytest.raises(RefusedError, match=f"(?s){message}"):
        load_model(folder)


def test_loading_leaves_the_compiler_of_torch_alone(folder):
    program = (
        "import pathlib, sys; from iisan_core.model.saving import load_model; load_model(pathlib.Path(sys.argv[1]));"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True)
