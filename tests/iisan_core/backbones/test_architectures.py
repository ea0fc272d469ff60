"""Whatever the architecture: states are those of transformers alone, one input at a time – or the model is refused.

A tiny random model of every type that can be shrunk is loaded for texts and for pictures, with padding on either side,
with and without a padding token. `refused.txt` lists what is refused and why; `-s` prints it anew.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer
from transformers.utils import logging

from iisan_core.backbones.base import Backbone
from iisan_core.backbones.loading import load_backbone
from iisan_core.backbones.probes import FAILURES
from iisan_core.config.schema import Modality
from iisan_core.errors import IisanError, RefusedError

from .architectures import MODEL_TYPES, save_architecture, tiny_model

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]

TEXTS = ["red mug", "big steel lamp small", "scarf", "blue wool scarf big red green lamp", "green mug big", "red " * 20]
LISTED = Path(__file__).with_name("refused.txt")

TEXT_KINDS = (
    "bert", "roberta", "gpt2", "bart", "llama", "t5", "xlnet", "mamba", "rwkv", "fnet", "convbert", "mobilebert",
    "nystromformer", "longformer", "paligemma", "aimv2", "groupvit", "roformer",
)  # fmt: skip
"""Architectures that stand for the kinds: learned, counted, relative and no positions, padding that is heard, …"""
IMAGE_KINDS = (
    "vit", "deit", "yolos", "vit_mae", "aimv2", "dinov2_with_registers", "cvt", "qwen2_vl", "siglip2",
    "idefics3", "llava_next", "flava", "groupvit", "mllama", "pixtral",
)  # fmt: skip


@contextmanager
def quietly() -> Iterator[None]:
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("noise")
    for number in range(4):
        noise = torch.randint(0, 256, (40 + number, 50, 3), generator=torch.Generator().manual_seed(number))
        Image.fromarray(noise.to(torch.uint8).numpy()).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def states(backbone: Backbone, inputs: list[Any], *, batch_size: int) -> Tensor:
    rows: dict[int, Tensor] = {}
    for batch in backbone.batches(inputs, batch_size=batch_size, size=40 if backbone.modality == "text" else None):
        loaded = batch.load()
        assert not loaded.problems
        pooled = backbone.encode(loaded.tensors, layers=range(backbone.n_layers + 1), pooling="mean-all")
        rows |= dict(zip(loaded.positions, pooled, strict=True))
    return torch.stack([rows[position] for position in range(len(inputs))])


@torch.no_grad()
def alone(backbone: Backbone, folder: Path, value: Any) -> Tensor:
    """The states of one input by the library's own pass over it, nothing beside it, nothing behind it."""
    if backbone.modality == "text":
        cut = {"truncation": True, "max_length": min(40, backbone.most_tokens or 40)}
        read = AutoTokenizer.from_pretrained(folder)
        tokens = read(value, return_tensors="pt", return_token_type_ids=False, **cut)
        given: dict[str, Any] = dict(tokens)
    else:
        given = shown(backbone, value)
    output = backbone.model(**given, output_hidden_states=True, return_dict=True)
    return torch.cat([_mean(hidden) for hidden in output.hidden_states])


def shown(backbone: Any, picture: Path) -> dict[str, Any]:
    with Image.open(picture) as opened:
        tensors = backbone._tensors(opened.convert("RGB"), None)
    given = {backbone._given_as[name]: tensor for name, tensor in tensors.items()}
    if backbone.reading == "every patch, none masked":
        given["noise"] = torch.arange(16.0)[None]
    return given


def _mean(hidden: Tensor) -> Tensor:
    if hidden.dim() == 2:
        return hidden.float().mean(dim=0)
    return hidden.flatten(2).mean(dim=2)[0] if hidden.dim() == 4 else hidden.float().mean(dim=1)[0]


def check(model: Any, model_type: str, modality: Modality, folder: Path, inputs: list[Any], **options: Any) -> None:
    """Compare, or raise the `RefusedError` of loading."""
    save_architecture(model, model_type, folder, **options)
    with quietly():
        backbone = load_backbone(folder, modality)
        if backbone.needs_padding:  # its states alone are those of a full text: see `test_loading.py`
            return
        try:
            expected = torch.stack([alone(backbone, folder, value) for value in inputs])
        except FAILURES as error:
            raise RefusedError(f"transformers itself fails on one of these inputs: {error}") from error
        # Convolutions of a batch are computed in another order than those of one picture.
        rounding = 1e-4 if any(width != backbone.widths[0] for width in backbone.widths) else 1e-5
        for batch_size in (1, 2, 64):
            found = states(backbone, inputs, batch_size=batch_size)[:, : expected.shape[1]]
            torch.testing.assert_close(
                found, expected, atol=rounding * max(1.0, float(expected.abs().max())), rtol=1e-4
            )
        again = states(load_backbone(folder, modality), inputs, batch_size=64)
        assert torch.equal(states(backbone, inputs, batch_size=64), again), "two extractions differ"


SIDES = [("right", True), ("left", True), ("left", False), ("right", False)]


@pytest.mark.parametrize("model_type", TEXT_KINDS)
def test_texts_have_the_states_that_they_have_alone(model_type: str, tmp_path: Path) -> None:
    model = tiny_model(model_type)
    for side, padded in SIDES[:3]:
        check(model, model_type, "text", tmp_path / f"{side}-{padded}", TEXTS, side=side, padded=padded)


@pytest.mark.parametrize("model_type", IMAGE_KINDS)
def test_pictures_have_the_states_that_they_have_alone(model_type: str, tmp_path: Path, pictures: list[Path]) -> None:
    model = tiny_model(model_type)
    if model_type == "mllama":
        with pytest.raises(RefusedError, match="reads pictures as tiles, of which some are padding"):
            check(model, model_type, "image", tmp_path / "model", pictures)
        return
    check(model, model_type, "image", tmp_path / "model", pictures)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("modality", ["text", "image"])
def test_every_architecture_gives_its_states_or_says_why_not(
    modality: Modality, tmp_path: Path, pictures: list[Path]
) -> None:
    refused, faults = [], []
    for model_type in MODEL_TYPES:
        try:
            model = tiny_model(model_type)
        except Exception as error:
            refused.append(f"{modality} {model_type}: not shrunk here: {reason(error)}")
            continue
        try:
            for side, padded in SIDES if modality == "text" else SIDES[:1]:
                inputs = TEXTS if modality == "text" else pictures
                folder = tmp_path / f"{model_type}-{side}-{padded}"
                check(model, model_type, modality, folder, inputs, side=side, padded=padded)
        except IisanError as error:
            refused.append(f"{modality} {model_type}: {reason(error)}")
        except Exception as error:
            faults.append(f"{modality} {model_type}: {type(error).__name__}: {reason(error)}")
        for folder in tmp_path.glob(f"{model_type}-*"):
            shutil.rmtree(folder)
    print("\n".join(refused))  # noqa: T201 -- the list to commit
    assert not faults, "\n".join(faults)
    listed = [line for line in LISTED.read_text(encoding="utf-8").splitlines() if line.startswith(f"{modality} ")]
    assert [line.partition(":")[0] for line in refused] == [line.partition(":")[0] for line in listed]


def reason(error: Exception) -> str:
    """The message on one line, without places of this machine."""
    said = re.sub(r"\S*/pytest-\S+", "the model", " ".join(str(error).split()))
    return re.sub(r"\S*site-packages\S*", "…", said)[:200].strip()
