"""Picture and text of an item in one pass; that states are those of transformers alone stands in the contract test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from iisan_core.backbones.base import Backbone
from iisan_core.backbones.joint import INSTRUCTION, JointBackbone
from iisan_core.backbones.joint_processor import LONGEST_SIDE
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import extract, plan_cache
from iisan_core.cache.inputs import inputs_of
from iisan_core.cache.manifest import CacheManifest, CacheSettings
from iisan_core.cache.store import HiddenStateCache
from iisan_core.data.dataset import Dataset, TextAndPicture
from iisan_core.errors import RefusedError

from .tiny_joint import save_tiny_joint
from .tiny_models import save_tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")

Catalogue = Callable[..., Dataset]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_joint("smolvlm", tmp_path_factory.mktemp("joint") / "smolvlm")


@pytest.fixture(scope="module")
def smolvlm(folder: Path) -> JointBackbone:
    backbone = load_backbone(folder, "joint")
    assert isinstance(backbone, JointBackbone)
    return backbone


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return load_backbone(save_tiny_joint("qwen3_vl", tmp_path_factory.mktemp("joint") / "qwen"), "joint")


def loaded(backbone: Backbone, *pairs: TextAndPicture, size: int = 30, prompt: str = INSTRUCTION) -> list[Any]:
    return [batch.load() for batch in backbone.batches(pairs, batch_size=8, size=size, prompt=prompt)]


def tokens(backbone: Backbone, pair: TextAndPicture, **options: Any) -> list[str]:
    """The whole prompt of one item."""
    (batch,) = loaded(backbone, pair, **options)
    (ids,) = (tensor[0] for name, tensor in batch.tensors.items() if name.endswith("input_ids"))
    words: list[str] = backbone._processor.tokenizer.convert_ids_to_tokens(ids)  # type: ignore[attr-defined]
    return words


def manifest_of(dataset: Dataset, backbone: Backbone, **settings: Any) -> CacheManifest:
    inputs = inputs_of(dataset, "joint", text_fields=("title",))
    return plan_cache(dataset, backbone, CacheSettings(**settings), inputs=inputs, shard_size=64)


def cached(dataset: Dataset, backbone: Backbone, place: Path, **settings: Any) -> HiddenStateCache:
    *_, last = extract(dataset, backbone, CacheSettings(dtype="float32", **settings), folder=place)
    return HiddenStateCache.open(last.folder)


def test_an_item_is_read_as_far_as_it_is_there(smolvlm: JointBackbone, catalogue: Catalogue, tmp_path: Path) -> None:
    dataset = catalogue(["red mug", None, "red mug", None], pictures=[True, True, False, False])
    cache = cached(dataset, smolvlm, tmp_path, layers="all")
    assert cache.absent == ["item3"]
    assert not cache.problems
    states = cache.gather(cache.rows(cache.item_ids[:3]))
    assert all(not torch.allclose(states[a], states[b], atol=1e-2) for a, b in ((0, 1), (0, 2), (1, 2)))
    (_, picture, *_) = dataset.image_paths()
    assert "<image>" in tokens(smolvlm, TextAndPicture(None, picture))
    assert tokens(smolvlm, TextAndPicture("red mug", None))[:4] == ["USER", ":", "red", "mug"]


def test_a_picture_that_cannot_be_read_is_named(smolvlm: Backbone, catalogue: Catalogue, tmp_path: Path) -> None:
    dataset = catalogue(["red mug", "lamp"])
    (broken, _) = dataset.image_paths()
    assert broken is not None
    broken.write_bytes(b"no picture")
    cache = cached(dataset, smolvlm, tmp_path)
    assert cache.absent == ["item0"]
    assert "unreadable picture" in cache.problems["item0"]


def test_what_is_said_to_the_model_is_recorded(smolvlm: Backbone, catalogue: Catalogue) -> None:
    dataset = catalogue(["red mug", "lamp"])
    usual = manifest_of(dataset, smolvlm)
    assert (usual.kind, usual.modality, usual.pooling, usual.tokens) == ("joint", "joint", "mean", None)
    assert (usual.prompt, usual.text_fields, usual.max_tokens) == (INSTRUCTION, ("title",), 30)
    assert usual.reading == "in the model's chat template, pictures whole"
    other, none = (manifest_of(dataset, smolvlm, prompt=prompt) for prompt in ("one word:", ""))
    assert (other.prompt, none.prompt) == ("one word:", None)
    named = manifest_of(dataset, smolvlm, modality="whole")
    assert len({manifest.key for manifest in (usual, other, none, named)}) == 4


def test_texts_are_cut_and_marks_in_them_are_none(smolvlm: Backbone) -> None:
    said = tokens(smolvlm, TextAndPicture("big <image> red [BOS] wool scarf", None), size=2, prompt="")
    assert said == ["USER", ":", "big", "red", "BOT", ":"]
    assert tokens(smolvlm, TextAndPicture("big", None), prompt="one word:")[2:5] == ["big", "one", "word:"]


def test_the_last_token_has_seen_picture_and_text(smolvlm: Backbone, catalogue: Catalogue, tmp_path: Path) -> None:
    dataset = catalogue(["red mug", "red mug", "lamp"])
    cache = cached(dataset, smolvlm, tmp_path, layers="0,-1", pooling="last")
    first, deepest = cache.gather(cache.rows(cache.item_ids)).split(smolvlm.widths[:1] * 2, dim=1)
    assert torch.equal(first[0], first[2]), "the last word of the template"
    assert not torch.allclose(deepest[0], deepest[1], atol=1e-4), "another picture"
    assert not torch.allclose(deepest[1], deepest[2], atol=1e-4), "another text"


def test_only_that_item_is_read_anew_whose_picture_or_text_changed(catalogue: Catalogue) -> None:
    before = inputs_of(catalogue(["red mug", "lamp", None]), "joint", text_fields=None)
    after = inputs_of(catalogue(["red mug", "big lamp", None]), "joint", text_fields=None)
    assert [a == b for a, b in zip(before.fingerprints, after.fingerprints, strict=True)] == [True, False, True]
    without = inputs_of(catalogue(["red mug", "lamp", None], pictures=[False, True, False]), "joint", text_fields=None)
    assert [a == b for a, b in zip(before.fingerprints, without.fingerprints, strict=True)] == [False, True, False]
    assert without.fingerprints[2] is without.values[2] is None


def test_pictures_of_unequal_shapes_go_one_lot_after_another(qwen: Backbone, tmp_path: Path) -> None:
    shapes = [(64, 32), (32, 64), (64, 32), (96, 96)]
    pairs = []
    for number, shape in enumerate(shapes):
        Image.effect_noise(shape, 80).convert("RGB").save(tmp_path / f"{number}.png")
        pairs.append(TextAndPicture("red mug", tmp_path / f"{number}.png"))
    whole = loaded(qwen, *pairs)
    assert sorted(position for batch in whole for position in batch.positions) == [0, 1, 2, 3]
    assert len(whole) == len(set(shapes))
    (alone,) = loaded(qwen, pairs[2])
    beside = next(batch for batch in whole if 2 in batch.positions)
    expected, found = (states_of(qwen, batch) for batch in (alone, beside))
    torch.testing.assert_close(found[beside.positions.index(2)], expected[0], atol=1e-5, rtol=1e-4)


def states_of(backbone: Backbone, batch: Any) -> Tensor:
    return backbone.encode(batch.tensors, layers=range(backbone.n_layers + 1), pooling="mean")


def test_large_pictures_cost_no_more_than_others(qwen: Backbone, tmp_path: Path) -> None:
    sides = (LONGEST_SIDE, 4 * LONGEST_SIDE)
    lengths = []
    for side in sides:
        Image.new("RGB", (side, side // 2), (200, 30, 30)).save(tmp_path / f"{side}.png")
        lengths.append(len(tokens(qwen, TextAndPicture("red mug", tmp_path / f"{side}.png"))))
    assert lengths[0] == lengths[1]
    assert f"pictures of at most {LONGEST_SIDE} pixels a side" in (qwen.reading or "")


def test_a_model_whose_states_depend_on_the_batch_gets_items_one_by_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled = JointBackbone.pooled

    def leaking(self: JointBackbone, tensors: dict[str, Tensor], **options: Any) -> Tensor:
        states = pooled(self, tensors, **options)
        return states + len(states) - 1

    monkeypatch.setattr(JointBackbone, "pooled", leaking)
    backbone = load_backbone(folder, "joint")
    assert backbone.one_by_one
    assert "inputs come one by one" in (backbone.reading or "")
    assert len(list(backbone.batches([TextAndPicture("red mug", None)] * 3, batch_size=8, size=None))) == 3


def test_a_model_that_needs_a_picture_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = JointBackbone._forward

    def wants_pixels(self: JointBackbone, tensors: dict[str, Tensor], **options: Any) -> Any:
        if "pixel_values" not in tensors:
            raise ValueError("no picture")
        return forward(self, tensors, **options)

    monkeypatch.setattr(JointBackbone, "_forward", wants_pixels)
    backbone = load_backbone(folder, "joint")
    assert any("no text without a picture" in note for note in backbone.notes)
    (batch,) = loaded(backbone, TextAndPicture("red mug", None))
    assert not batch.tensors
    assert "reads no text without one" in batch.problems[0]


@pytest.mark.parametrize("model_type", ["bert", "clip", "vit"])
def test_other_models_are_refused_in_words(model_type: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="joint"):
        load_backbone(save_tiny_model(model_type, tmp_path / model_type), "joint")


def test_several_items_at_once_are_refused_where_they_would_have_to_be_alike(smolvlm: JointBackbone) -> None:
    pair = TextAndPicture("red mug", None)
    assert smolvlm.together([pair], size=None).positions == [0]
    with pytest.raises(RefusedError, match="use its cache"):
        smolvlm.together([pair, pair], size=None)
