"""Text-only IISAN on real data: Amazon Industrial & Scientific with all-MiniLM-L6-v2 states."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from iisan_core.backbones import load_backbone
from iisan_core.cache.manifest import CacheSettings
from iisan_core.config import RunConfig
from iisan_core.dataset import Dataset
from iisan_core.extraction import extract
from iisan_core.presets import load_preset
from iisan_core.run_folder import RunFolder
from iisan_core.training.run import train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def states(scientific: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    backbone = load_backbone("minilm", "text")
    folder = tmp_path_factory.mktemp("caches")
    *_, last = extract(scientific, backbone, CacheSettings(layers="all", max_tokens=64), folder=folder)
    return last.folder


def test_three_seeds_reach_the_figures_of_the_readme(scientific: Dataset, states: Path, tmp_path: Path) -> None:
    preset = load_preset("text")
    quality = []
    for seed in SEEDS:
        config = RunConfig(
            dataset=scientific.folder,
            caches={"text": states},
            model=preset.model,
            training=preset.training.model_copy(update={"seed": seed}),
        )
        for _ in train(config, tmp_path / str(seed)):
            pass
        quality.append(RunFolder.open(tmp_path / str(seed)).results()["quality"]["test"])
    hr, ndcg = (statistics.mean(q[metric] for q in quality) for metric in ("HR@10", "NDCG@10"))
    print(f"HR@10 {hr:.2f}, NDCG@10 {ndcg:.2f}, by seed {quality}")  # noqa: T201
    assert hr >= 7.2
    assert ndcg >= 4.5
