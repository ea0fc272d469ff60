"""Is the truth behind the demo world recovered? Four models, the same training, three seeds, paired by user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from data_tools.demo.shop import DemoShop, demo_shop
from iisan_core.config.presets import load_preset
from iisan_core.evaluation.metrics import Interval, hit, paired_interval
from iisan_core.runs.train import train
from iisan_core.runs.workspace import Workspace

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(5400),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # transformers leaves one open
]

SEEDS = (0, 1, 2)
MODELS: dict[str, tuple[tuple[str, ...], dict[str, bool]]] = {
    "both": (("image", "text"), {}),
    "intra only": (("image", "text"), {"inter": False}),
    "text": (("text",), {}),
    "image": (("image",), {}),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> DemoShop:
    return demo_shop(Workspace(tmp_path_factory.mktemp("truth")))


@pytest.fixture(scope="module")
def hits(shop: DemoShop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Model → test HR@10 per user, mean over seeds."""
    runs = tmp_path_factory.mktemp("runs")
    found = {}
    for name, (modalities, change) in MODELS.items():
        per_seed = [trained(shop, runs / f"{name}-{seed}", modalities, change, seed=seed) for seed in SEEDS]
        found[name] = np.mean(per_seed, axis=0)
    return found


def trained(
    shop: DemoShop,
    path: Path,
    modalities: tuple[str, ...],
    change: dict[str, bool],
    *,
    seed: int,
) -> NDArray[np.float64]:
    caches = {name: shop.caches[name] for name in modalities}
    settings = [f"training.seed={seed}", *(f"model.{name}={str(value).lower()}" for name, value in change.items())]
    config = load_preset("demo").config(dataset=shop.dataset.folder, caches=caches, settings=settings)
    for _ in train(config, path):
        pass
    return hit(pl.read_parquet(path / "ranks.parquet")["test"].to_numpy(), k=10)


def gain(hits: dict[str, Any], better: str, worse: str, users: NDArray[np.bool_] | slice = slice(None)) -> Interval:
    return paired_interval(100 * hits[better][users], 100 * hits[worse][users])


@pytest.mark.parametrize("single", ["text", "image"])
def test_both_modalities_beat_each_alone(hits: dict[str, Any], single: str) -> None:
    interval = gain(hits, "both", single)
    print(f"both {100 * hits['both'].mean():.2f}, {single} {100 * hits[single].mean():.2f}, gain {interval}")  # noqa: T201
    assert interval.low > 0, interval


def test_the_inter_network_finds_tastes_that_hang_on_combinations(hits: dict[str, Any], shop: DemoShop) -> None:
    kinds = pl.read_parquet(shop.dataset.folder / "truth" / "users.parquet")["kind"].to_numpy()
    for kind in ("picture", "title", "combination"):
        of_kind = {name: round(100 * values[kinds == kind].mean(), 2) for name, values in hits.items()}
        print(kind, of_kind, gain(hits, "both", "intra only", kinds == kind))  # noqa: T201
    interval = gain(hits, "both", "intra only", kinds == "combination")
    assert interval.low > 0, interval
