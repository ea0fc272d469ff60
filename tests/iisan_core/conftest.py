"""Tiny random backbones in the ordinary folder format, and a catalogue small enough to look through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

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

from iisan_core.backbones import Backbone, load_backbone
from iisan_core.dataset import Dataset, DatasetCard


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
