"""More than two modalities from end to end: a second text, videos and sounds beside title and picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile
import torch
from PIL import Image
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from data_tools.writing import write_dataset
from iisan_core.backbones.base import Backbone
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import extract
from iisan_core.cache.inventory import removable
from iisan_core.cache.manifest import CacheSettings, read_manifest
from iisan_core.cache.store import HiddenStateCache
from iisan_core.config.schema import RunConfig
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.files import read_json, write_json
from iisan_core.runs.train import train
from iisan_core.runs.workspace import Workspace
from iisan_core.serving.recommender import Recommender

pytestmark = pytest.mark.usefixtures("one_thread")

ITEMS, CLASSES, USERS = 30, 3, 24
COLOURS, THINGS = ("red", "green", "blue"), ("mug", "lamp", "scarf")
NAMES = ["image", "text", "audio", "caption", "video"]


def picture(of_class: int, n: int) -> Image.Image:
    return Image.new("RGB", (32, 32), tuple(250 - n if channel == of_class else n for channel in range(3)))


def files(folder: Path) -> None:
    """A video of three frames for all but one item, a tone for all but another."""
    for n in range(ITEMS):
        frames = folder / "videos" / str(n)
        frames.mkdir(parents=True)
        for frame in range(3):
            picture(n % CLASSES, n + 20 * frame).save(frames / f"{frame}.png")
    (folder / "sounds").mkdir()
    for n in range(ITEMS):
        tone = 0.3 * np.sin(2 * math.pi * 300 * (1 + n % CLASSES) * np.arange(2000 + 50 * n) / 16_000)
        soundfile.write(folder / "sounds" / f"{n}.wav", tone, 16_000)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "dataset"
    numbers = range(ITEMS)
    items = pl.DataFrame(
        {
            "item_id": [f"i{n:02}" for n in numbers],
            "title": [f"{'big ' * (n % 4)}{COLOURS[n % CLASSES]}" for n in numbers],
            "caption": [f"{THINGS[n % CLASSES]}{' small' * (n % 5)}" for n in numbers],
            "video": [f"videos/{n}" if n else None for n in numbers],
            "audio": [f"sounds/{n}.wav" if n != 1 else None for n in numbers],
        }
    )
    rng = np.random.default_rng(0)
    log = [
        (f"u{user}", f"i{item:02}", time)
        for user in range(USERS)
        for time, item in enumerate(rng.permutation(np.arange(user % CLASSES, ITEMS, CLASSES))[:8])
    ]
    interactions = pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row")
    images = {f"{n}.png": _png(picture(n % CLASSES, n), folder) for n in numbers}
    return write_dataset(
        folder, name="many", source="made by a test", items=items.with_columns(image=pl.Series(list(images))),
        interactions=interactions, images=images, also=files,
    )  # fmt: skip


def _png(image: Image.Image, folder: Path) -> bytes:
    path = folder.with_name("picture.png")
    image.save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def wav2vec2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backbones") / "tiny-wav2vec2"
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, conv_dim=(8, 8),
        conv_stride=(20, 16), conv_kernel=(20, 16), num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer", do_stable_layer_norm=True,
    )  # fmt: skip
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def workspace(
    dataset: Dataset,
    bert_folder: Path,
    vit_folder: Path,
    wav2vec2_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Workspace:
    """One with caches of five modalities."""
    made = Workspace(tmp_path_factory.mktemp("workspace"))
    settings = {"layers": "all"}
    for backbone, changes in (
        (load_backbone(bert_folder, "text"), {}),
        (load_backbone(bert_folder, "text"), {"modality": "caption", "text_fields": ("caption",)}),
        (load_backbone(vit_folder, "image"), {}),
        (load_backbone(vit_folder, "video"), {"frames": 2}),
        (load_backbone(wav2vec2_folder, "audio"), {}),
    ):
        chosen = CacheSettings.model_validate(settings | changes)
        for _ in extract(dataset, backbone, chosen, folder=made.caches(dataset), shard_size=8):
            pass
    return made


def test_caches_say_their_name_and_kind(workspace: Workspace, dataset: Dataset) -> None:
    found = workspace.only_caches(dataset)
    assert list(found) == NAMES
    manifests = {name: read_manifest(folder) for name, folder in found.items()}
    assert {name: m.kind for name, m in manifests.items()} == {
        "image": "image", "text": "text", "audio": "audio", "caption": "text", "video": "video"
    }  # fmt: skip
    assert found["caption"].name.startswith("caption-tiny-bert-")
    assert (manifests["video"].frames, manifests["audio"].max_seconds, manifests["image"].frames) == (2, 30, None)
    for name, folder in found.items():
        cache = HiddenStateCache.open(folder)
        cache.verify()
        cache.check_matches(dataset)
        assert cache.absent == {"video": ["i00"], "audio": ["i01"]}.get(name, [])


def test_five_modalities_train_and_recommend(workspace: Workspace, dataset: Dataset, tmp_path: Path) -> None:
    config = RunConfig.model_validate(
        {
            "dataset": dataset.folder,
            "caches": workspace.only_caches(dataset),
            "protocol": {"max_history": 4},
            "model": {"bottleneck": 4, "embedding": 8, "standardize": True},
            "training": {"epochs": 8, "batch_size": 8, "learning_rate": 0.01, "san_learning_rate": 0.005,
                         "device": "cpu"},
        }
    )  # fmt: skip
    for _ in train(config, tmp_path / "run"):
        pass
    recommender = Recommender.load(tmp_path / "run")
    results = read_json(tmp_path / "run" / "results.json", what="results")
    assert list(results["data"]["backbones"]) == NAMES
    # Of six places two thirds would be of other classes by chance; the history's own items get no score.
    of_class = {n for n in range(ITEMS) if n % CLASSES == 1}
    (found,) = recommender.recommend(histories=[["i01", "i04", "i07", "i10"]], k=6)
    hits = [entry.item_id for entry in found if int(entry.item_id[1:]) in of_class]
    assert len(hits) >= 5
    explained = recommender.explain("i13", history=["i01", "i04"])
    assert {part.name for part in explained.parts} == {*NAMES, "inter", "bias"}


def test_changed_frames_are_noticed(workspace: Workspace, dataset: Dataset) -> None:
    folder = workspace.only_caches(dataset)["video"]
    frame = dataset.folder / "videos" / "7" / "1.png"
    whole = frame.read_bytes()
    picture(0, 99).save(frame)
    try:
        with pytest.raises(RefusedError, match="another video than at extraction, the first is 'i07'"):
            HiddenStateCache.open(folder).check_matches(dataset)
    finally:
        frame.write_bytes(whole)


@pytest.mark.parametrize("name", ["inter", "ids", "bias", "items", "train"])
def test_names_that_are_taken_are_refused(dataset: Dataset, bert: Backbone, tmp_path: Path, name: str) -> None:
    settings = CacheSettings(modality=name)
    with pytest.raises(RefusedError, match=f"a modality cannot be called '{name}'"):
        list(extract(dataset, bert, settings, folder=tmp_path))
    with pytest.raises(ValueError, match="should match pattern"):
        CacheSettings(modality="A b")


def test_a_catalogue_without_the_column(
    catalogue: Callable[..., Any], vit_folder: Path, tmp_path: Path, workspace: Workspace, dataset: Dataset
) -> None:
    plain = catalogue(["red mug"])
    with pytest.raises(RefusedError, match="names no video files: add a text column 'video' to"):
        list(extract(plain, load_backbone(vit_folder, "video"), CacheSettings(), folder=tmp_path / "caches"))
    reasons = {r.cache.folder.name.split("-")[0]: r.reason for r in removable(workspace.caches(dataset), plain)}
    assert reasons["video"] == "made from the column 'video', which the catalogue lacks"


def test_a_manifest_of_before_names_is_of_its_kind(workspace: Workspace, dataset: Dataset, tmp_path: Path) -> None:
    """What an earlier release wrote knows no kind, frames or seconds; it is the same cache, in the same folder."""
    folder = workspace.only_caches(dataset)["text"]
    manifest = read_json(folder / "manifest.json", what="manifest")
    before = {key: value for key, value in manifest.items() if key not in ("kind", "frames", "max_seconds")}
    write_json(tmp_path / "manifest.json", before)
    found = read_manifest(tmp_path)
    assert found == read_manifest(folder)
    assert found.folder_name == folder.name
