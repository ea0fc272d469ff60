"""Kinds of models and inputs that need care: what they are given, what is kept, what is said where they cannot."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    BertConfig,
    BertModel,
    CLIPImageProcessorPil,
    T5Config,
    T5EncoderModel,
    T5Model,
    ViTImageProcessorPil,
    ViTMAEConfig,
    ViTMAEModel,
)

from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings
from iisan_core.cache.store import HiddenStateCache
from iisan_core.data.dataset import Dataset
from iisan_core.errors import IisanError, RefusedError, first_sentence

from .test_backbones import states
from .tiny_models import CONFIGS, ENCODER, VISION, save_tiny_model, tiny_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

T5 = {"vocab_size": 14, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "pad_token_id": 0}
TEXTS = ["red mug", "big steel lamp small", "blue wool scarf big red green lamp"]


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Wide, high and square."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, (width, height) in enumerate([(60, 40), (40, 60), (50, 50), (60, 40)]):
        noise = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(number))
        Image.fromarray(noise.to(torch.uint8).numpy()).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


# Weights are asked for where they are used.


def test_the_encoder_of_an_encoder_decoder_is_enough(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = T5Model(T5Config(**T5))
    encoder = T5EncoderModel(whole.config)
    encoder.load_state_dict(whole.get_encoder().state_dict(), strict=False)
    encoder.encoder.load_state_dict(whole.encoder.state_dict())
    encoder.save_pretrained(tmp_path / "encoder")
    whole.save_pretrained(tmp_path / "whole")
    for folder in ("encoder", "whole"):
        tiny_tokenizer().save_pretrained(tmp_path / folder)
    found, expected = (states(load_backbone(tmp_path / folder, "text"), TEXTS) for folder in ("encoder", "whole"))
    torch.testing.assert_close(found, expected)


def test_a_lacking_weight_that_is_used_is_still_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    T5EncoderModel(T5Config(**T5)).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.block.1.layer.0.SelfAttention.q.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(RefusedError, match=r"1 of its weights are missing, the first is encoder\.block\.1\.layer\.0"):
        load_backbone(tmp_path, "text")


def test_one_tower_of_a_joint_model_is_enough(tmp_path: Path, pictures: list[Path]) -> None:
    folder = save_tiny_model("clip", tmp_path / "clip")
    expected = states(load_backbone(folder, "image"), pictures)
    weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if k.startswith("vision")}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    torch.testing.assert_close(states(load_backbone(folder, "image"), pictures), expected)
    with pytest.raises(RefusedError, match="of its weights are missing, the first is text_model"):
        load_backbone(folder, "text")


# What draws at random.


def test_nothing_is_masked_in_extraction(tmp_path: Path, pictures: list[Path]) -> None:
    torch.manual_seed(0)
    decoder = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    config = ViTMAEConfig(**VISION, **{f"decoder_{name}": value for name, value in decoder.items()})
    ViTMAEModel(config).save_pretrained(tmp_path)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, "image")
    assert backbone.reading == "every patch, none masked"
    assert torch.equal(states(backbone, pictures), states(load_backbone(tmp_path, "image"), pictures))
    (batch,) = backbone.batches(pictures, batch_size=4, size=None)
    with torch.no_grad():
        output = backbone._forward(batch.load().tensors, output_hidden_states=True)
    assert output.hidden_states[0].shape[1] == 1 + 16  # the class token and all patches


def test_a_model_that_draws_at_random_is_refused(bert_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = BertModel.forward

    def noisy(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs["inputs_embeds"] = self.embeddings.word_embeddings(kwargs.pop("input_ids")) + torch.randn(16)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(BertModel, "forward", noisy)
    with pytest.raises(RefusedError, match="gives other states at every pass over the same text: it draws at random"):
        load_backbone(bert_folder, "text")


# Class and register tokens.


def test_mean_is_over_patches_and_the_key_knows(
    vit_folder: Path, catalogue: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset, backbone = catalogue(TEXTS), load_backbone(vit_folder, "image")
    caches = {}
    for pooling in ("mean", "mean-all", "cls", None):
        settings = CacheSettings(layers=(-1,), pooling=pooling, dtype="float32")
        *_, last = extract(dataset, backbone, settings, folder=tmp_path / "caches")
        caches[pooling] = HiddenStateCache.open(last.folder)
    assert caches[None].folder == caches["mean"].folder
    assert len({cache.manifest.key for cache in caches.values()}) == 3
    told = {pooling: (cache.manifest.pooling, cache.manifest.tokens) for pooling, cache in caches.items()}
    assert told["mean"] == ("mean", "patches") and told["mean-all"] == ("mean", None)
    assert [caches[pooling].manifest.reduction for pooling in ("mean", "mean-all")] == ["mean", "mean-all"]
    patches, cls = caches["mean"].load(), caches["cls"].load()
    tokens = (backbone.model.config.image_size // backbone.model.config.patch_size) ** 2
    torch.testing.assert_close(caches["mean-all"].load(), (patches * tokens + cls) / (tokens + 1))


# Number formats.


def test_large_states_are_stored_in_bfloat16(
    bert_folder: Path, tmp_path: Path, catalogue: Callable[..., Dataset]
) -> None:
    assert load_backbone(bert_folder, "text").stored_dtype == "float16"
    folder = tmp_path / "large"
    model = AutoModel.from_pretrained(bert_folder)
    model.encoder.layer[-1].output.LayerNorm.weight.data.mul_(1e5)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    backbone = load_backbone(folder, "text")
    assert backbone.stored_dtype == "bfloat16"
    dataset = catalogue(TEXTS)
    *_, last = extract(dataset, backbone, CacheSettings(layers="all"), folder=tmp_path / "caches")
    assert HiddenStateCache.open(last.folder).manifest.dtype == "bfloat16"
    with pytest.raises(IisanError, match="layer 3 has a state that is not finite in float16"):
        list(extract(dataset, backbone, CacheSettings(layers="all", dtype="float16"), folder=tmp_path / "caches"))


def test_families_known_for_large_states(tmp_path: Path) -> None:
    assert load_backbone(save_tiny_model("gemma3_text", tmp_path / "gemma3"), "text").stored_dtype == "bfloat16"


# Lengths and sizes.


@pytest.mark.parametrize(("model_type", "most"), [("bert", 48), ("roberta", 47), ("llama", None)])
def test_texts_are_cut_where_positions_end(tmp_path: Path, model_type: str, most: int | None) -> None:
    backbone = load_backbone(save_tiny_model(model_type, tmp_path / model_type), "text")
    assert backbone.most_tokens == most
    long = ["red mug big " * 40]
    (batch,) = backbone.batches(long, batch_size=1, size=100)
    assert batch.load().tensors["input_ids"].shape[1] == (most or 100)
    assert states(backbone, long, size=100).isfinite().all()


def test_a_picture_size_that_is_none(vit_folder: Path, catalogue: Callable[..., Dataset], tmp_path: Path) -> None:
    backbone = load_backbone(vit_folder, "image")
    with pytest.raises(RefusedError, match=r"pictures of 4 × 4 pixels are smaller than a patch of .*, 8 × 8"):
        list(extract(catalogue(TEXTS), backbone, CacheSettings(image_size=4), folder=tmp_path / "caches"))
    backbone.check_size(16)
    convnext = load_backbone(save_tiny_model("convnext", tmp_path / "convnext"), "image")
    with pytest.raises(RefusedError, match="does not take pictures of 5 × 5 pixels"):
        convnext.check_size(5)  # three times halved, nothing is left


def test_pictures_whose_shape_is_kept_come_with_their_like(tmp_path: Path, pictures: list[Path]) -> None:
    torch.manual_seed(0)
    config = AutoConfig.for_model("convnext", hidden_sizes=[4, 6, 8, 10], depths=[1, 1, 1, 1])
    AutoModel.from_config(config).save_pretrained(tmp_path)
    CLIPImageProcessorPil(size={"shortest_edge": 40}, do_center_crop=False).save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, "image")
    batches = [batch.positions for batch in backbone.batches(pictures, batch_size=8, size=None)]
    assert sorted(batches) == [[0, 3], [1], [2]]
    alone = torch.cat([states(backbone, [path]) for path in pictures])
    torch.testing.assert_close(states(backbone, pictures), alone, atol=1e-5, rtol=1e-4)


# Messages, and processors without their library.


def test_a_processor_that_is_plain_needs_no_torchvision(tmp_path: Path, pictures: list[Path]) -> None:
    torch.manual_seed(0)
    config = AutoConfig.for_model("dinov3_vit", **{**VISION, "num_register_tokens": 3})
    AutoModel.from_config(config).save_pretrained(tmp_path)
    steps = {"do_resize": True, "size": {"height": 32, "width": 32}, "do_normalize": True, "do_rescale": True}
    own = {"image_processor_type": "DINOv3ViTImageProcessorFast", "do_center_crop": None, "resample": 2}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(steps | own))
    backbone = load_backbone(tmp_path, "image")
    assert backbone.reading == "pictures prepared by plain steps"
    assert backbone.tokens_apart == (4, 0)  # the class token and the registers
    assert states(backbone, pictures).isfinite().all()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(steps | own | {"do_pad": True}))
    with pytest.raises(
        RefusedError, match="requires the Torchvision library but it was not found in your environment"
    ) as said:
        load_backbone(tmp_path, "image")
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("A needs B but it was not found\nhere. Check out the page", "A needs B but it was not found here"),
        ("", "ValueError"),
        ("one line", "one line"),
        ("v1.2 is too old. Use v2", "v1.2 is too old"),
    ],
)  # fmt: skip
def test_messages_do_not_break_off(message: str, said: str) -> None:
    assert first_sentence(ValueError(message)) == said


def test_a_tokenizer_without_any_end_or_padding_token(tmp_path: Path) -> None:
    torch.manual_seed(0)
    BertModel(BertConfig(**ENCODER)).save_pretrained(tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, "text")
    alone = torch.cat([states(backbone, [text]) for text in TEXTS])
    torch.testing.assert_close(states(backbone, TEXTS), alone, atol=1e-5, rtol=1e-4)


def test_states_that_hear_others_come_with_their_like_only(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = AutoConfig.for_model("fnet", vocab_size=14, hidden_size=16, num_hidden_layers=2, intermediate_size=24)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, "text")
    assert backbone.reading == "texts of equal length only come together"
    given = ["red mug", "big lamp", "scarf", "blue wool scarf"]
    assert [batch.positions for batch in backbone.batches(given, batch_size=8, size=None)] == [[2], [0, 1], [3]]
    with pytest.raises(RefusedError, match="gives a text other states beside texts of other lengths"):
        backbone.together(given, size=None)


def test_a_sentencepiece_model_is_tokenizer_enough(tmp_path: Path) -> None:
    """As DeBERTa-v3 and mT5 come: `spm.model`, and no `tokenizer.json`."""
    sentences = [text for text in TEXTS for _ in range(20)]
    pieces = io.BytesIO()
    special = {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3, "pad_piece": "[PAD]", "bos_piece": "[CLS]"}
    special |= {"eos_piece": "[SEP]", "unk_piece": "[UNK]"}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=pieces, vocab_size=40, hard_vocab_limit=False, minloglevel=2,
        **special,
    )  # fmt: skip
    torch.manual_seed(0)
    config = AutoConfig.for_model("deberta-v2", **CONFIGS["deberta-v2"] | {"vocab_size": 60})
    AutoModel.from_config(config).save_pretrained(tmp_path)
    (tmp_path / "spm.model").write_bytes(pieces.getvalue())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "DebertaV2Tokenizer"}))
    backbone = load_backbone(tmp_path, "text")
    alone = torch.cat([states(backbone, [text]) for text in TEXTS])
    torch.testing.assert_close(states(backbone, TEXTS), alone, atol=1e-5, rtol=1e-5)
