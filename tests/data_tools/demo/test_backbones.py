from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from data_tools.demo.backbones.image import build_image_backbone, cut_patches
from data_tools.demo.backbones.text import build_text_backbone
from data_tools.demo.catalogue import compose_title
from data_tools.demo.parameters import MATERIALS, MOTIFS, PALETTES, PRODUCTS, SEASONS, TEXTURES, Attributes
from data_tools.demo.pictures import SIDE, draw_picture
from iisan_core.errors import RefusedError

# transformers 5 leaves the processor's configuration file to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

SIZES = {
    "motif": len(MOTIFS),
    "palette": len(PALETTES),
    "texture": len(TEXTURES),
    "product": len(PRODUCTS),
    "material": len(MATERIALS),
    "season": len(SEASONS),
}


def catalogue(items: int) -> list[Attributes]:
    rng = np.random.default_rng(7)
    return [Attributes(**{name: int(rng.integers(size)) for name, size in SIZES.items()}) for _ in range(items)]


def titles_of(items: list[Attributes]) -> list[str]:
    rng = np.random.default_rng(8)
    return [compose_title(item, rng=rng) for item in items]


def pictures_of(items: list[Attributes], folder: Path) -> list[Path]:
    rng = np.random.default_rng(9)
    paths = [folder / f"{index}.png" for index in range(len(items))]
    for item, path in zip(items, paths, strict=True):
        draw_picture(item, rng=rng).save(path)
    return paths


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Steps this small lose more time to waiting for a second thread than they gain by it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def titles() -> list[str]:
    return titles_of(catalogue(60))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    return pictures_of(catalogue(40), tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def text_folder(titles, tmp_path_factory) -> Path:
    return build_text_backbone(titles, tmp_path_factory.mktemp("text") / "backbone", steps=3)


@pytest.fixture(scope="module")
def image_folder(pictures, tmp_path_factory) -> Path:
    return build_image_backbone(pictures, tmp_path_factory.mktemp("image") / "backbone", steps=3)


def text_states(folder: Path, titles: list[str]) -> list[torch.Tensor]:
    """Mean-pooled states of every layer, each `[items, width]`."""
    batch = AutoTokenizer.from_pretrained(folder)(titles, padding=True, return_tensors="pt")
    real = batch["attention_mask"][..., None]
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).eval()(**batch, output_hidden_states=True).hidden_states
    return [(layer * real).sum(1) / real.sum(1) for layer in states]


def image_states(folder: Path, paths: list[Path]) -> list[torch.Tensor]:
    """Mean-pooled states of every layer, each `[items, width]`."""
    images = [Image.open(path).convert("RGB") for path in paths]
    batch = AutoImageProcessor.from_pretrained(folder)(images, return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).eval()(**batch, output_hidden_states=True).hidden_states
    return [layer.mean(1) for layer in states]


def test_text_folder_loads_as_any_other_and_misses_nothing(text_folder, titles):
    _, info = AutoModel.from_pretrained(text_folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    states = text_states(text_folder, titles)
    assert [layer.shape for layer in states] == [(len(titles), 64)] * (6 + 1)


def test_image_folder_loads_as_any_other_and_misses_nothing(image_folder, pictures):
    _, info = AutoModel.from_pretrained(image_folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    states = image_states(image_folder, pictures)
    assert [layer.shape for layer in states] == [(len(pictures), 64)] * (6 + 1)


def test_tokenizer_knows_every_word_of_the_titles(text_folder, titles):
    tokenizer = AutoTokenizer.from_pretrained(text_folder)
    unknown = tokenizer.unk_token_id
    assert all(unknown not in ids for ids in tokenizer(titles)["input_ids"])
    assert tokenizer.tokenize("Umbrella trellis") == ["umbrella", "t", "##r", "##e", "##l", "##l", "##i", "##s"]
    assert tokenizer("umbrella")["input_ids"][0] == tokenizer.cls_token_id
    assert tokenizer.pad_token_id == 0


def test_image_processor_keeps_the_size(image_folder, pictures):
    processor = AutoImageProcessor.from_pretrained(image_folder)
    pixels = processor(Image.open(pictures[0]), return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, SIDE, SIDE)
    assert -1 <= pixels.min() < pixels.max() <= 1


def test_same_seed_same_text_backbone_other_seed_another(text_folder, titles, tmp_path):
    again = build_text_backbone(titles, tmp_path / "again", steps=3)
    other = build_text_backbone(titles, tmp_path / "other", steps=3, seed=1)
    for name in ("tokenizer.json", "config.json", "model.safetensors", "README.md"):
        assert (again / name).read_bytes() == (text_folder / name).read_bytes(), name
    assert (other / "model.safetensors").read_bytes() != (again / "model.safetensors").read_bytes()


def test_same_seed_same_image_backbone_other_seed_another(image_folder, pictures, tmp_path):
    again = build_image_backbone(pictures, tmp_path / "again", steps=3)
    other = build_image_backbone(pictures, tmp_path / "other", steps=3, seed=1)
    for name in ("preprocessor_config.json", "config.json", "model.safetensors", "README.md"):
        assert (again / name).read_bytes() == (image_folder / name).read_bytes(), name
    assert (other / "model.safetensors").read_bytes() != (again / "model.safetensors").read_bytes()


def test_building_leaves_the_callers_random_numbers_alone(titles, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_text_backbone(titles, tmp_path / "text", steps=1)
    torch.testing.assert_close(torch.rand(3), expected)


def test_every_step_is_reported_and_the_loss_falls(titles, tmp_path, capsys):
    seen: list[tuple[int, int, float]] = []
    build_text_backbone(titles, tmp_path / "text", steps=30, on_step=lambda *step: seen.append(step))
    assert [done for done, _, _ in seen] == list(range(1, 30 + 1))
    assert {steps for _, steps, _ in seen} == {30}
    assert seen[-1][2] < seen[0][2] - 0.5
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""


def test_weights_are_finite_and_of_one_width(image_folder, text_folder):
    for folder in (image_folder, text_folder):
        weights = load_file(folder / "model.safetensors")
        assert all(torch.isfinite(weight).all() for weight in weights.values())
        assert (folder / "model.safetensors").stat().st_size < 4_000_000 / 2


def test_the_card_says_what_it_was_trained_on(text_folder, image_folder):
    assert "the 60 titles" in (text_folder / "README.md").read_text()
    assert "the 40 pictures" in (image_folder / "README.md").read_text()


def test_patches_are_cut_row_by_row():
    pixels = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    patches = cut_patches(pixels, patch_size=2)
    assert patches.shape == (2, 4, 3 * 2 * 2)
    torch.testing.assert_close(patches[1, 2], pixels[1, :, 2:4, 0:2].flatten())


@pytest.mark.parametrize(("build", "what"), [(build_text_backbone, "titles"), (build_image_backbone, "pictures")])
def test_nothing_to_train_on_is_refused(build, what, tmp_path):
    with pytest.raises(RefusedError, match=f"no {what} to train a backbone on: found 0"):
        build([], tmp_path / "backbone")
    assert not list(tmp_path.iterdir())


def test_no_steps_are_refused(titles, tmp_path):
    with pytest.raises(RefusedError, match=r"at least 1 .* found 0"):
        build_text_backbone(titles, tmp_path / "backbone", steps=0)


def test_a_taken_folder_is_refused(text_folder, titles):
    with pytest.raises(RefusedError, match="exists already"):
        build_text_backbone(titles, text_folder, steps=1)


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_an_unreadable_picture_is_refused_and_leaves_nothing(pictures, tmp_path, content):
    broken = tmp_path / "broken.png"
    if content is not None:
        broken.write_bytes(content)
    with pytest.raises(RefusedError, match=r"cannot read the picture .*broken\.png"):
        build_image_backbone([*pictures, broken], tmp_path / "out" / "backbone", steps=1)
    assert not list((tmp_path / "out").iterdir())


def readable(states: list[torch.Tensor], labels: list[int]) -> float:
    """Share of held-out items whose label a ridge classifier reads from the best of the layers 0, 2, 4, 6."""
    return max(_probed(states[layer].double(), torch.tensor(labels)) for layer in (0, 2, 4, 6))


def _probed(states: torch.Tensor, labels: torch.Tensor) -> float:
    split = len(states) * 3 // 4
    scaled = (states - states[:split].mean(0)) / states[:split].std(0)
    inputs = torch.cat([scaled, torch.ones(len(states), 1)], dim=1).double()
    wanted = torch.nn.functional.one_hot(labels).double()
    seen = inputs[:split]
    weights = torch.linalg.solve(seen.T @ seen + torch.eye(inputs.shape[1]), seen.T @ wanted[:split])
    return float(((inputs[split:] @ weights).argmax(1) == labels[split:]).double().mean())


@pytest.mark.slow
def test_every_attribute_can_be_read_from_the_full_backbones(tmp_path):
    items = catalogue(1_800)
    titles, pictures = titles_of(items), pictures_of(items, tmp_path)
    of_text = text_states(build_text_backbone(titles, tmp_path / "text"), titles)
    of_image = image_states(build_image_backbone(pictures, tmp_path / "image"), pictures)
    least = {"product": 0.95, "material": 0.95, "season": 0.95, "palette": 0.95, "texture": 0.90, "motif": 0.85}
    for name, share in least.items():
        states = of_text if name in ("product", "material", "season") else of_image
        assert readable(states, [getattr(item, name) for item in items]) >= share, name
    # What the demo's combined taste hangs on must not be lost on the way up.
    for states, name in ((of_text, "season"), (of_image, "palette")):
        labels = torch.tensor([getattr(item, name) for item in items])
        assert min(_probed(states[layer].double(), labels) for layer in (2, 4, 6)) >= 0.9, name
