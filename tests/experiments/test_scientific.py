"""Baselines and text-only IISAN on real data: Amazon Industrial & Scientific with all-MiniLM-L6-v2 states."""

from __future__ import annotations

from pathlib import Path

import pytest

from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings
from iisan_core.config.presets import load_preset
from iisan_core.data.dataset import Dataset
from iisan_core.experiments.designs import baselines
from iisan_core.experiments.run_study import run_study
from iisan_core.experiments.study import Study
from iisan_core.experiments.tables import as_markdown, read_table, with_spread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * 5400)]
SEEDS = (0, 1, 2)
FLOORS = {
    "ids (SASRec)": (4.7, 3.1),
    "frozen + linear": (5.8, 3.5),
    "frozen + MLP": (6.8, 4.1),
    "IISAN": (7.2, 4.5),
}
"""Row of the study of baselines → HR@10 and NDCG@10 that the mean of three seeds reaches at least."""


@pytest.fixture(scope="module")
def states(scientific: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    backbone = load_backbone("minilm", "text")
    folder = tmp_path_factory.mktemp("caches")
    *_, last = extract(scientific, backbone, CacheSettings(layers="all", max_tokens=64), folder=folder)
    return last.folder


def test_three_seeds_reach_the_figures_of_the_readme(scientific: Dataset, states: Path, tmp_path: Path) -> None:
    whole = baselines(load_preset("text").config(dataset=scientific.folder, caches={"text": states}))
    study = Study(whole.name, whole.question, tuple(row for row in whole.rows if row.name in FLOORS))
    for _ in run_study(study, tmp_path / "study", seeds=SEEDS):
        pass
    table = read_table(tmp_path / "study")
    print(as_markdown(with_spread(table)))  # noqa: T201
    for row, hr, ndcg in table.select("row", "test_HR@10", "test_NDCG@10").iter_rows():
        assert hr >= FLOORS[row][0], row
        assert ndcg >= FLOORS[row][1], row
    assert table.height == len(FLOORS)
