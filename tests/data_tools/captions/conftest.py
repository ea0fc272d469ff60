"""Tiny random models that write about pictures, saved as people save theirs, and a catalogue with pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    BlipProcessor,
    CLIPVisionConfig,
    GPT2Config,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from data_tools.writing import write_dataset
from iisan_core.data.dataset import Dataset

PAD, UNKNOWN, BEGIN, END, IMAGE = range(5)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "<image>"]
WORDS += ["red", "green", "blue", "mug", "lamp", "scarf", "a", "picture", "of", "the", "big", "old", "USER:", "BOT:"]
SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
SIDE = {"height": 32, "width": 32}
TEMPLATE = (
    "{% for m in messages %}USER: {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }} {% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}BOT:{% endif %}"
)


def tokenizer(*, ends: bool = False) -> PreTrainedTokenizerFast:
    """Words by spaces; with `ends`, every text stands between [CLS] and [SEP], as BLIP wants it."""
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if ends:
        specials = [("[CLS]", BEGIN), ("[SEP]", END)]
        words.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=specials)
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", bos_token="[CLS]", eos_token="[SEP]",
        cls_token="[CLS]", sep_token="[SEP]", additional_special_tokens=["<image>"],
    )  # fmt: skip


def vit_gpt2(folder: Path) -> None:
    """A vision encoder and a text decoder without a common processor: the form of ViT-GPT2."""
    decoder = GPT2Config(
        vocab_size=len(WORDS), n_embd=16, n_layer=2, n_head=2, n_positions=64, initializer_range=0.8,
        bos_token_id=BEGIN, eos_token_id=END, add_cross_attention=True, is_decoder=True,
    )  # fmt: skip
    encoder = ViTConfig(image_size=32, patch_size=8, initializer_range=0.5, **SHAPE)
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = BEGIN, PAD, END
    model = VisionEncoderDecoderModel(config)
    model.generation_config.decoder_start_token_id = BEGIN
    model.generation_config.pad_token_id = PAD
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    ViTImageProcessorPil(size=SIDE).save_pretrained(folder)


def blip(folder: Path) -> None:
    text = {"vocab_size": len(WORDS), "max_position_embeddings": 64, "initializer_range": 0.8, **SHAPE}
    text |= {"encoder_hidden_size": 16, "bos_token_id": BEGIN, "sep_token_id": END, "pad_token_id": PAD}
    vision = {"image_size": 32, "patch_size": 8, "initializer_range": 0.5, **SHAPE}
    config = BlipConfig(text_config=text | {"eos_token_id": END}, vision_config=vision, projection_dim=16)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    BlipProcessor(BlipImageProcessorPil(size=SIDE), tokenizer(ends=True)).save_pretrained(folder)


def llava(folder: Path) -> None:
    """A chat model: pictures and a request in, an answer out."""
    vision = CLIPVisionConfig(image_size=32, patch_size=8, projection_dim=16, initializer_factor=20.0, **SHAPE)
    ends = {"bos_token_id": BEGIN, "eos_token_id": END, "pad_token_id": PAD}
    text = LlamaConfig(vocab_size=len(WORDS), initializer_range=0.8, **ends, **SHAPE)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE, image_seq_length=16)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SIDE)
    LlavaProcessor(
        images, tokenizer(), patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)  # fmt: skip


KINDS = {"vit-gpt2": vit_gpt2, "blip": blip, "llava": llava}


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind → folder of a tiny random model of it."""
    folders = {kind: tmp_path_factory.mktemp("models") / kind for kind in KINDS}
    for kind, make in KINDS.items():
        torch.manual_seed(1)
        make(folders[kind])
    return folders


def picture_of(n: int) -> Image.Image:
    """Pictures that differ in colour and pattern."""
    image = Image.new("RGB", (40, 30), (n * 60 % 256, 255 - n * 35 % 256, n * 90 % 256))
    image.paste((0, n * 50 % 256, 0), (n % 20, 0, 20 + n % 20, 15))
    return image


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


@pytest.fixture(scope="session")
def picture() -> Callable[[int], Image.Image]:
    """Make picture number `n`."""
    return picture_of


@pytest.fixture(scope="session")
def words() -> set[str]:
    """What the models can say."""
    return set(WORDS[IMAGE + 1 :])


@pytest.fixture
def shop(tmp_path: Path) -> Callable[..., Dataset]:
    """Make a dataset of `items` items, of which number 1 has no picture."""

    def make(items: int = 7) -> Dataset:
        ids = [f"i{n}" for n in range(items)]
        names = [None if n == 1 else f"{n}.png" for n in range(items)]
        return write_dataset(
            tmp_path / "shop",
            name="shop",
            source="a test",
            items=pl.DataFrame({"item_id": ids, "title": ids, "image": names}),
            interactions=pl.DataFrame({"user_id": ["u"], "item_id": ["i0"], "timestamp": [0]}),
            images={f"{n}.png": png(picture_of(n)) for n in range(items)},
        )

    return make
