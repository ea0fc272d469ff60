"""What every family of the registry promises, on tiny random models of its type.

Pooled states are those of plain transformers calls; layers and widths are what the cache manifest says; neither the
batch nor padding matters; half precision is close.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel, AutoModelForImageTextToText, AutoTokenizer

from app.planning.meta_model import meta_model_of
from iisan_core.backbones.base import POOLINGS, Backbone
from iisan_core.backbones.joint import INSTRUCTION
from iisan_core.backbones.loading import load_backbone, tower_of
from iisan_core.backbones.registry import backbone_catalogue
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings
from iisan_core.cache.store import HiddenStateCache
from iisan_core.config.schema import Modality
from iisan_core.data.dataset import Dataset, TextAndPicture

from .tiny_joint import JOINT_TYPES, plainly, save_tiny_joint
from .tiny_models import DECODERS, IMAGE_TYPES, TEXT_TYPES, save_eva, save_tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["red mug", "big steel lamp small", "scarf", "blue wool scarf big red green lamp", "green mug big"]
ORDER = [3, 0, 4, 2, 1]
KINDS: list[tuple[str, Modality]] = [*((t, "text") for t in TEXT_TYPES), *((t, "image") for t in IMAGE_TYPES)]
KINDS.append(("eva", "image"))
KINDS += [(t, "joint") for t in JOINT_TYPES]

Case = tuple[Path, Modality, str]


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Folder, modality and type of a tiny model."""
    model_type, modality = request.param
    folder = tmp_path_factory.mktemp("tiny") / model_type
    save = {"eva": save_eva}.get(model_type, save_tiny_joint if modality == "joint" else save_tiny_model)
    return save(model_type, folder), modality, model_type


@pytest.fixture(scope="module")
def backbone(case: Case) -> Backbone:
    return load(case)


def load(case: Case, **options: Any) -> Backbone:
    folder, modality, model_type = case
    return load_backbone(folder, modality, trust_remote_code=model_type == "eva", **options)


@pytest.fixture(scope="module")
def inputs(case: Case, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Texts, pictures of noise in several shapes, or both, of which one item lacks its text and one its picture."""
    if case[1] == "text":
        return TEXTS
    paths = [tmp_path_factory.getbasetemp() / f"{number}.png" for number in range(len(TEXTS))]
    for number, path in enumerate(paths):
        noise = torch.randint(0, 256, (40 + number, 50, 3), generator=torch.Generator().manual_seed(number))
        Image.fromarray(noise.to(torch.uint8).numpy()).save(path)
    if case[1] == "joint":
        texts: list[str | None] = [*TEXTS[:-1], None]
        return [TextAndPicture(t, None if n == 0 else p) for n, (t, p) in enumerate(zip(texts, paths, strict=True))]
    return paths


def states(backbone: Backbone, inputs: Sequence[Any], *, pooling: str = "mean", batch_size: int = 8) -> Tensor:
    """States of all layers in the order of `inputs`: `[len(inputs), ΣD]`."""
    rows: dict[int, Tensor] = {}
    prompt = INSTRUCTION if backbone.modality == "joint" else ""
    for batch in backbone.batches(inputs, batch_size=batch_size, size=None, prompt=prompt):
        loaded = batch.load()
        pooled = backbone.encode(loaded.tensors, layers=range(backbone.n_layers + 1), pooling=pooling)
        rows |= dict(zip(loaded.positions, pooled, strict=True))
    return torch.stack([rows[position] for position in range(len(inputs))])


@pytest.fixture(scope="module")
def hidden_states(case: Case, inputs: list[Any]) -> list[tuple[list[Tensor], Tensor | None]]:
    """Each input alone through transformers: every hidden state, and which tokens are real."""
    folder, modality, model_type = case
    if modality == "joint":
        return [(of_pair(folder, model_type, pair), None) for pair in inputs]
    whole = AutoModel.from_pretrained(folder, trust_remote_code=model_type == "eva").eval()
    run = partial(tower_of(whole, modality, model_type), output_hidden_states=True, return_dict=True)
    found: list[tuple[list[Tensor], Tensor | None]] = []
    for value in inputs:
        with torch.no_grad():
            given = tokenized(folder, model_type, value) if modality == "text" else processed(folder, value)
            output = run(**given)
        mask = (given["input_ids"] != 0).long() if modality == "text" else None
        # The pooled output of MobileNetV2 comes after its last hidden state (method, section 2).
        after = [output.pooler_output[..., None, None]] if model_type == "mobilenet_v2" else []
        found.append(([*output.hidden_states, *after], mask))
    return found


@torch.no_grad()
def of_pair(folder: Path, model_type: str, pair: TextAndPicture) -> list[Tensor]:
    """Hidden states of the whole model, head included, for one item."""
    picture = Image.open(pair.picture) if pair.picture else None
    whole = AutoModelForImageTextToText.from_pretrained(folder).eval()
    return list(whole(**plainly(model_type, pair.text, picture), output_hidden_states=True).hidden_states)


def tokenized(folder: Path, model_type: str, text: str) -> dict[str, Tensor]:
    padding = {"padding": "max_length", "max_length": 20} if model_type == "siglip" else {}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return dict(tokenizer(text, return_tensors="pt", return_token_type_ids=False, **padding))


def processed(folder: Path, picture: Path) -> dict[str, Tensor]:
    return dict(AutoImageProcessor.from_pretrained(folder, backend="pil")(Image.open(picture), return_tensors="pt"))


BEFORE_PATCHES = {"vit": 1, "deit": 2, "dinov2": 1, "dinov3_vit": 3, "clip": 1, "eva": 1}
"""Class, distillation and register tokens of image models; `mean` is over patches, `mean-all` over these, too."""


def pooled(hidden: Tensor, mask: Tensor | None, pooling: str, *, first: int) -> Tensor:
    if hidden.dim() == 4:
        return hidden[0].mean(dim=(1, 2))
    if pooling.startswith("mean") and mask is None:
        return hidden[0, first if pooling == "mean" else 0 :].mean(dim=0)
    return POOLINGS[pooling](hidden, torch.ones(hidden.shape[:2]) if mask is None else mask)[0]


def test_every_family_is_tried() -> None:
    covered = {model_type for model_type, _ in KINDS}
    for entry in backbone_catalogue():
        model_type = entry.config["model_type"] if entry.config else "eva"
        assert model_type in covered, entry.family
        for modality in entry.towers:
            # Of the joint models with a program of their own, the image tower stands for both.
            assert (model_type, modality) in KINDS or model_type == "eva"


def test_states_are_those_of_plain_transformers(
    case: Case, backbone: Backbone, inputs: list[Any], hidden_states: list[tuple[list[Tensor], Tensor | None]]
) -> None:
    assert [h.shape[1] if h.dim() == 4 else h.shape[2] for h in hidden_states[0][0]] == backbone.widths
    first = BEFORE_PATCHES.get(case[2], 0)
    for pooling in backbone.poolings:
        expected = [torch.cat([pooled(h, mask, pooling, first=first) for h in every]) for every, mask in hidden_states]
        found = states(backbone, inputs, pooling=pooling)
        torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=1e-4)


def test_only_models_with_a_class_token_pool_it(case: Case, backbone: Backbone) -> None:
    if case[1] == "image":
        assert backbone.poolings == (("cls", "mean", "mean-all") if case[2] in BEFORE_PATCHES else ("mean",))


def test_the_manifest_and_the_meta_model_say_the_same(
    case: Case, backbone: Backbone, inputs: list[Any], catalogue: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = catalogue(TEXTS)
    *_, last = extract(dataset, backbone, CacheSettings(layers="all", dtype="float32"), folder=tmp_path / "caches")
    cache = HiddenStateCache.open(last.folder)
    assert cache.manifest.layers == tuple(range(backbone.n_layers + 1))
    assert list(cache.manifest.widths) == backbone.widths
    assert cache.gather(cache.rows(cache.item_ids)).shape == (len(TEXTS), sum(backbone.widths))
    if case[2] != "eva":  # a program of its own is not built without its weights
        config = AutoModel.from_pretrained(case[0]).config
        assert list(meta_model_of(config, case[1], case[2]).widths) == backbone.widths


def test_layers_differ_and_items_differ(backbone: Backbone, inputs: list[Any]) -> None:
    layers = states(backbone, inputs).split(backbone.widths, dim=1)
    assert all((layer[0] - layer[3]).abs().max() > 1e-4 for layer in layers)
    same_width = [(a, b) for a, b in pairwise(layers) if a.shape == b.shape]
    assert all((a - b).abs().max() > 1e-4 for a, b in same_width)


def test_batch_single_and_shuffled_agree(backbone: Backbone, inputs: list[Any]) -> None:
    together = states(backbone, inputs)
    shuffled = states(backbone, [inputs[i] for i in ORDER], batch_size=2)
    torch.testing.assert_close(states(backbone, inputs, batch_size=1), together, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(shuffled, together[ORDER], atol=1e-5, rtol=1e-4)


def test_half_precision_stays_close(case: Case, backbone: Backbone, inputs: list[Any]) -> None:
    half = states(load(case, compute_dtype="bfloat16"), inputs)
    full = states(backbone, inputs)
    assert half.dtype == torch.float32
    for ours, theirs in zip(half.split(backbone.widths, dim=1), full.split(backbone.widths, dim=1), strict=True):
        assert (ours - theirs).norm() < 0.04 * theirs.norm()  # eight bits of mantissa, a few products in a row
    assert not torch.equal(half, full)


@pytest.mark.parametrize("side", ["left", "right"])
def test_extra_padding_changes_nothing(case: Case, backbone: Backbone, side: str) -> None:
    folder, modality, model_type = case
    if modality != "text" or model_type == "siglip":
        return
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if side != tokenizer.padding_side and model_type not in DECODERS:
        return
    tokenizer.padding_side = side
    tokens = tokenizer(TEXTS, padding="max_length", max_length=18, return_tensors="pt", return_token_type_ids=False)
    for pooling in ("mean", "last"):
        found = backbone.encode(dict(tokens), layers=range(backbone.n_layers + 1), pooling=pooling)
        torch.testing.assert_close(found, states(backbone, TEXTS, pooling=pooling), atol=2e-5, rtol=1e-4)
