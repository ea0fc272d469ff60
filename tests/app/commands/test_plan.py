"""`iisan plan` says what it would cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from data_tools.writing import write_dataset
from iisan_core.data.dataset import DATASET_FILES
from iisan_core.files import seal


@pytest.fixture
def dataset(workspace: Path) -> Path:
    """Forty items, twenty users of six interactions each."""
    items = pl.DataFrame(
        {"item_id": [f"i{n}" for n in range(40)], "title": [f"brass lamp number {n}" for n in range(40)]}
    ).with_columns(image=pl.lit(None, dtype=pl.String))
    log = pl.DataFrame(
        {
            "user_id": [f"u{u}" for u in range(20) for _ in range(6)],
            "item_id": [f"i{(3 * u + step) % 40}" for u in range(20) for step in range(6)],
            "timestamp": [step for _ in range(20) for step in range(6)],
        }
    )
    folder = workspace / "datasets" / "small"
    write_dataset(folder, name="small", source="made by a test", items=items, interactions=log)
    return folder


def test_the_plan_of_a_packaged_and_a_listed_backbone(shell: Callable[..., Any], dataset: Path) -> None:
    outcome = shell("plan", dataset, "--text", "minilm", "--image", "vit-base", "--layers", "group:7", "--json")
    # minilm has six layers: group:7 keeps all of them, and of the twelve of ViT every second.
    assert outcome.code == 0, outcome.err
    made = json.loads(outcome.out)
    text, image = made["encoders"]["text"], made["encoders"]["image"]
    assert text["layers"] == [0, 1, 2, 3, 4, 5, 6]
    assert image["layers"] == [0, 2, 4, 6, 8, 10, 12]
    assert text["cache_bytes"] == 40 * 7 * 384 * 2
    assert (text["download_bytes"], text["extraction"]["how"]) == (0, "measured")
    assert image["download_bytes"] == 86_389_248 * 4
    assert made["training"]["steps_per_epoch"] == 1


def test_a_pooling_that_tells_no_item_from_another_is_refused(
    shell: Callable[..., Any], dataset: Path, llama_folder: Path, bert_folder: Path
) -> None:
    outcome = shell("plan", dataset, "--text", llama_folder, "--pooling", "cls", "--no-probe")
    assert outcome.code == 2
    assert "it is a causal decoder, whose first token sees nothing" in outcome.err
    assert shell("plan", dataset, "--text", llama_folder, "--no-probe").code == 0
    assert shell("plan", dataset, "--text", bert_folder, "--pooling", "cls", "--no-probe").code == 0


def test_the_plan_for_people(shell: Callable[..., Any], dataset: Path) -> None:
    outcome = shell("plan", dataset, "--text", "minilm", "--no-probe")
    assert outcome.code == 0, outcome.err
    assert "is here" in outcome.out
    assert "estimated" in outcome.out
    assert "it fits this machine" in outcome.err
    assert "the largest text encoder by name that would fit" in outcome.err


def test_videos_and_sounds_have_options_of_their_own(shell: Callable[..., Any], dataset: Path) -> None:
    (dataset / "videos" / "0").mkdir(parents=True)
    for frame in range(3):
        Image.new("RGB", (8, 8), (80 * frame, 0, 0)).save(dataset / "videos" / "0" / f"{frame}.png")
    items = pl.read_parquet(dataset / "items.parquet")
    videos = pl.Series("video", ["videos/0", *([None] * (items.height - 1))])
    items.with_columns(videos).write_parquet(dataset / "items.parquet")
    seal(dataset, DATASET_FILES)
    outcome = shell("plan", dataset, "--video", "vit-base", "--frames", "2", "--json")
    assert outcome.code == 0, outcome.err
    video = json.loads(outcome.out)["encoders"]["video"]
    one = json.loads(shell("plan", dataset, "--video", "vit-base", "--frames", "1", "--json").out)["encoders"]["video"]
    assert (video["items_with_input"], video["extraction"]["size"]) == (1, 224)
    assert video["extraction"]["flops"] == 2 * one["extraction"]["flops"]
    refused = shell("plan", dataset, "--audio", "nobody/nothing", "--max-seconds", "5")
    assert (refused.code, "hf download nobody/nothing" in refused.err) == (2, True)


def test_a_joint_model_is_planned_for_picture_and_text(shell: Callable[..., Any], dataset: Path) -> None:
    given = ("--joint", "smolvlm2-500m", "--layers", "0,-1", "--no-probe", "--json")
    outcome = shell("plan", dataset, *given)
    assert outcome.code == 0, outcome.err
    words = json.loads(outcome.out)["encoders"]["joint"]
    assert (words["layers"], words["widths"]) == ([0, 32], [960, 960])
    assert words["cache_bytes"] == 40 * 2 * 960 * 2
    assert words["items_with_input"] == 40
    assert words["download_bytes"] == (460_173_504 + 49_280 * 960) * 2
    Image.new("RGB", (64, 48)).save(dataset / "0.png")
    items = pl.read_parquet(dataset / "items.parquet")
    items.with_columns(image=pl.lit("0.png")).write_parquet(dataset / "items.parquet")
    seal(dataset, DATASET_FILES)
    shown = json.loads(shell("plan", dataset, *given).out)["encoders"]["joint"]
    assert shown["extraction"]["size"] == words["extraction"]["size"] + 256
    assert shown["extraction"]["flops"] > words["extraction"]["flops"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "nothing to plan"),
        (("--text", "nobody/nothing"), "hf download nobody/nothing"),
        (("--text", "minilm", "--layers", "0,9"), "layer 9 does not exist"),
        (("--text", "minilm", "--preset", "finest"), "no preset 'finest'"),
    ],
)
def test_bad_input_is_refused(
    shell: Callable[..., Any], dataset: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    outcome = shell("plan", dataset, *arguments)
    assert outcome.code == 2
    assert sentence in outcome.err
