"""Tiny random backbones in the ordinary folder format, a catalogue small enough to look through, a world to learn."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

from data_tools.writing import write_dataset
from iisan_core.backbones.base import Backbone
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.inputs import inputs_of
from iisan_core.cache.manifest import CacheManifest
from iisan_core.cache.writer import CacheWriter
from iisan_core.config.schema import RunConfig
from iisan_core.data.dataset import Dataset, DatasetCard
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import train


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny models are quickest on one thread, by far where processors are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


WORDS = ["red", "green", "blue", "mug", "lamp", "scarf", "wool", "steel", "big", "small"]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
VOCABULARY = {word: number for number, word in enumerate(SPECIALS + WORDS)}


def tiny_tokenizer(*, padding_side: str = "right") -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(word, VOCABULARY[word]) for word in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", padding_side=padding_side
    )


SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 3 layers, width 16, weights wide enough for layers to differ."""
    folder = tmp_path_factory.mktemp("backbones") / "tiny-bert"
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(VOCABULARY), max_position_embeddings=48, initializer_range=0.5, **SHAPE)
    BertModel(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder of 3 layers that pads on the left, as language models do."""
    folder = tmp_path_factory.mktemp("backbones") / "tiny-llama"
    torch.manual_seed(0)
    LlamaModel(LlamaConfig(vocab_size=len(VOCABULARY), initializer_range=0.3, **SHAPE)).save_pretrained(folder)
    tiny_tokenizer(padding_side="left").save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def vit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT of 3 layers, width 16, for pictures of 32 × 32."""
    folder = tmp_path_factory.mktemp("backbones") / "tiny-vit"
    torch.manual_seed(0)
    ViTModel(ViTConfig(image_size=32, patch_size=8, initializer_range=0.3, **SHAPE)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bert(bert_folder: Path) -> Backbone:
    return load_backbone(bert_folder, "text")


@pytest.fixture(scope="session")
def vit(vit_folder: Path) -> Backbone:
    return load_backbone(vit_folder, "image")


@pytest.fixture
def catalogue(tmp_path: Path) -> Callable[..., Dataset]:
    """Make a dataset of given titles; every item has a picture of its own colour unless `pictures` says less."""

    def make(titles: list[str | None], *, pictures: list[bool] | None = None) -> Dataset:
        folder = tmp_path / "dataset"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        names = [f"images/{n}.png" if has else None for n, has in enumerate(pictures or [True] * len(titles))]
        for number, name in enumerate(names):
            if name is not None:
                Image.new("RGB", (40, 30), (number * 20 % 256, 90, 255 - number * 7 % 256)).save(folder / name)
        ids = [f"item{number}" for number in range(len(titles))]
        items = pl.DataFrame(
            {"item_id": ids, "title": titles, "image": names},
            schema={"item_id": pl.String, "title": pl.String, "image": pl.String},
        )
        card = DatasetCard(name="tiny", source="made by a test", counts={})
        return Dataset(folder=folder, card=card, items=items, interactions=pl.DataFrame())

    return make


@dataclass(frozen=True)
class TinyWorld:
    """A dataset that can be learned, with caches of both modalities.

    Items belong to classes that their states show; every user stays within one class. Some items lack a picture.
    """

    dataset: Dataset
    caches: dict[str, Path]
    classes: int

    def config(
        self,
        *,
        protocol: dict[str, Any] | None = None,
        model: dict[str, Any] | None = None,
        training: dict[str, Any] | None = None,
    ) -> RunConfig:
        """A run of seconds, with changes laid over."""
        quick = {"epochs": 4, "batch_size": 16, "learning_rate": 0.01, "san_learning_rate": 0.005, "device": "cpu"}
        groups = {
            "protocol": {"max_history": 4} | (protocol or {}),
            "model": {"bottleneck": 4, "embedding": 8} | (model or {}),
            "training": quick | (training or {}),
        }
        return RunConfig.model_validate({"dataset": self.dataset.folder, "caches": self.caches, **groups})


ITEMS, USERS, CLASSES = 60, 80, 6
TINY_WIDTHS = (16, 16, 16)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    """The tiny world, written once; tests must not change its files."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    dataset = write_dataset(
        folder / "dataset",
        name="tiny world",
        source="made by a test",
        items=pl.DataFrame(
            {
                "item_id": [f"i{n:02}" for n in range(ITEMS)],
                "title": [f"thing {n}" for n in range(ITEMS)],
                "image": [f"{n}.png" if n % 5 else None for n in range(ITEMS)],
            }
        ),
        interactions=class_log(rng),
        images={f"{n}.png": one_pixel(n) for n in range(ITEMS)},
    )
    caches = {name: write_cache(folder / name, dataset, name, rng) for name in ("image", "text")}
    return TinyWorld(dataset, caches, CLASSES)


def class_log(rng: np.random.Generator) -> pl.DataFrame:
    """Users of 5 to 10 interactions, each with different items of one class: item `n` is of class `n mod 6`."""
    rows = []
    for user in range(USERS):
        own = np.arange(user % CLASSES, ITEMS, CLASSES)
        chosen = rng.permutation(own)[: rng.integers(5, 11)]
        rows += [(f"u{user:02}", f"i{item:02}", time) for time, item in enumerate(chosen)]
    return pl.DataFrame(rows, schema={"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}, orient="row")


def one_pixel(colour: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (1, 1), (colour, 0, 0)).save(stream, format="PNG")
    return stream.getvalue()


def write_cache(folder: Path, dataset: Dataset, modality: Any, rng: np.random.Generator) -> Path:
    """A cache as an extraction leaves it, its states a class's own vector and noise."""
    centres = rng.normal(size=(CLASSES, sum(TINY_WIDTHS)))
    states = centres[np.arange(ITEMS) % CLASSES] + 0.3 * rng.normal(size=(ITEMS, sum(TINY_WIDTHS)))
    inputs = inputs_of(dataset, modality, text_fields=("title",))
    plan = CacheManifest(
        dataset=dataset.name, modality=modality, backbone=f"tiny-{modality}", revision="1", compute_dtype="float32",
        pooling="mean", layers=(0, 1, 2), widths=TINY_WIDTHS, dtype="float16", text_fields=("title",), max_tokens=30,
        image_size=None, items=ITEMS, shard_size=ITEMS, ids_sha256=inputs.ids_sha256,
        inputs_sha256=inputs.inputs_sha256, libraries={},
    )  # fmt: skip
    writer = CacheWriter(folder, plan)
    writer.write(0, torch.from_numpy(states).half(), {})
    writer.finish(inputs)
    return folder


@pytest.fixture(scope="session")
def finished(world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run trained to its end; tests must not change its files."""
    path = tmp_path_factory.mktemp("runs") / "finished"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in train(world.config(), path, command="iisan train"):
        pass
    torch.set_num_threads(threads)
    return RunFolder.open(path)
