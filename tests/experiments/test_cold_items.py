"""Items that the training never saw, added to a trained run of the demo shop: are they found by whom they suit?"""

from __future__ import annotations

import math
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from data_tools.demo.backbones.image import build_image_backbone
from data_tools.demo.backbones.text import build_text_backbone
from data_tools.demo.world import make_demo_world
from data_tools.writing import write_dataset
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings
from iisan_core.config.presets import load_preset
from iisan_core.config.schema import RunConfig
from iisan_core.data.dataset import Dataset
from iisan_core.runs.train import train
from iisan_core.serving.recommender import Recommender

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # transformers leaves one open
]

K = 10


@dataclass(frozen=True)
class Shop:
    """The demo shop, and the same without the items that are launched at its very end."""

    whole: Dataset
    before: Dataset
    late: pl.DataFrame


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("cold")
    whole = make_demo_world(folder / "whole")
    # Late items occur only as somebody's last choice: without them, everybody else's log is as it was.
    truth = pl.read_parquet(folder / "whole" / "truth" / "items.parquet")
    late_ids = truth.filter(pl.col("launch") == "late")["item_id"].to_list()
    late = whole.items.filter(pl.col("item_id").is_in(late_ids))
    items = whole.items.filter(~pl.col("item_id").is_in(late_ids))
    pictures = [name for name in items["image"] if name]
    before = write_dataset(
        folder / "before",
        name="before",
        source="the demo shop without its late items",
        items=items.with_columns(pl.col("image").str.strip_prefix("images/")),
        interactions=whole.interactions.filter(~pl.col("item_id").is_in(late_ids)),
        images={Path(name).name: (whole.folder / name).read_bytes() for name in pictures},
    )
    return Shop(whole, before, late)


@pytest.fixture(scope="module")
def recommender(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """Backbones and side networks, none of which has seen a late item."""
    folder, before = tmp_path_factory.mktemp("before"), shop.before
    backbones = {
        "image": build_image_backbone([p for p in before.image_paths() if p], folder / "image"),
        "text": build_text_backbone([t for t in before.texts() if t], folder / "text"),
    }
    caches = {}
    for name, place in backbones.items():
        settings = CacheSettings(layers="all")
        steps = extract(before, load_backbone(place, name), settings, folder=folder / "caches")  # type: ignore[arg-type]
        caches[name] = deque(steps, maxlen=1)[0].folder
    preset = load_preset("demo")
    config = RunConfig(dataset=before.folder, caches=caches, model=preset.model, training=preset.training)
    deque(train(config, folder / "run"), maxlen=0)
    return Recommender.load(folder / "run")


def hit_rate(recommender: Recommender, asked: list[tuple[list[str], str]]) -> tuple[float, float, float]:
    """Share of targets among the first ten, and its 95 % interval (Wilson's)."""
    answers = recommender.recommend(histories=[history for history, _ in asked], k=K)
    hits = [target in {item.item_id for item in answer} for answer, (_, target) in zip(answers, asked, strict=True)]
    n, share, z = len(hits), sum(hits) / len(hits), 1.96
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return share, middle - half, middle + half


def test_cold_items_are_found(shop: Shop, recommender: Recommender, capsys: pytest.CaptureFixture[str]) -> None:
    """HR@10 on held-out cold targets: its lower 95 % bound is at least three times random."""
    images = {row["item_id"]: shop.whole.folder / row["image"] for row in shop.late.to_dicts() if row["image"]}
    larger = recommender.add_items(shop.late.drop("image"), images=images)
    log = shop.whole.interactions.group_by("user_id", maintain_order=True).agg("item_id")["item_id"].to_list()
    cold_ids, ranked = set(shop.late["item_id"]), set(recommender.item_ids)
    cold = [(items[:-1], items[-1]) for items in log if items[-1] in cold_ids]
    warm = [(items[:-1], items[-1]) for items in log if items[-1] in ranked and items[-1] not in items[:-1]]
    random = K / len(larger.item_ids)
    (found, low, high), (usual, warm_low, warm_high) = (hit_rate(larger, asked) for asked in (cold, warm))
    lines = [
        f"\ncold targets: HR@10 {100 * found:.2f} ({100 * low:.2f} to {100 * high:.2f}), {len(cold)} users, "
        f"{len(cold_ids)} items added; random {100 * random:.2f}",
        f"warm targets: HR@10 {100 * usual:.2f} ({100 * warm_low:.2f} to {100 * warm_high:.2f}), {len(warm)} users; "
        f"cold to warm {found / usual:.2f}\n",
    ]
    with capsys.disabled():
        sys.stdout.write("\n".join(lines))
    assert len(cold) > 200
    assert low >= 3 * random
