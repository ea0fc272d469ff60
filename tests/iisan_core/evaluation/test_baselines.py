"""Counted baselines against what a reader can count, and as runs like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from iisan_core.config.presets import load_preset
from iisan_core.config.schema import BaselineConfig, RunConfig
from iisan_core.data.dataset import Dataset
from iisan_core.data.split import Split
from iisan_core.errors import RefusedError
from iisan_core.evaluation.baselines import ItemKNN, Popular
from iisan_core.evaluation.lists import COLD, DIVERSITY, NOVELTY, POPULARITY, TOP, beyond_accuracy
from iisan_core.evaluation.metrics import summary
from iisan_core.experiments.leaderboard import leaderboard, readable_runs
from iisan_core.runs.results import rank_anew
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import resume, train
from iisan_core.serving.recommender import Recommender

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("popular", "item-knn")
# Training parts: a b | a b c | d a; the last two columns are the targets of validation and test.
SEQUENCES = np.array([[0, 1, 2, 3, 4], [1, 2, 3, 4, 4], [0, 4, 1, 2, 3]])
SPLIT = Split.of_sequences(SEQUENCES, item_ids=["a", "b", "c", "d"], max_history=2)


def knn(**changes: float) -> ItemKNN:
    plain = {"shrink": 0.0, "recency": 1.0}
    return ItemKNN(SPLIT, BaselineConfig.model_validate({"kind": "item-knn", **plain, **changes}))


def test_popular_counts_training_interactions_alone() -> None:
    assert Popular(SPLIT).scores(np.array([[0, 1], [2, 3]])).tolist() == [[0, 3, 2, 1, 1]] * 2


def test_similarity_is_the_cosine_of_the_users_in_common() -> None:
    a_b, a_c, a_d = 2 / np.sqrt(3 * 2), 1 / np.sqrt(3 * 1), 1 / np.sqrt(3 * 1)
    b_c = 1 / np.sqrt(2 * 1)
    assert knn().scores(np.array([[0, 1]]))[0] == pytest.approx([0, 0, a_b, a_c, a_d])
    assert knn().scores(np.array([[2, 1]]))[0] == pytest.approx([0, a_b, a_b, a_c + b_c, a_d])


def test_the_newest_items_weigh_most_and_older_than_the_inputs_nothing() -> None:
    a_b, b_c = 2 / np.sqrt(3 * 2), 1 / np.sqrt(2 * 1)
    found = knn(recency=0.5).scores(np.array([[3, 2, 1]]))[0]
    assert found[3] == pytest.approx(1 / np.sqrt(3 * 1) + 0.5 * b_c)
    assert found[1] == pytest.approx(0.5 * a_b)


def test_few_users_in_common_are_believed_less() -> None:
    a_b, a_c = 2 / np.sqrt(3 * 2), 1 / np.sqrt(3 * 1)
    found = knn(shrink=2.0).scores(np.array([[0, 1]]))[0]
    assert found[2:4] == pytest.approx([a_b * 2 / (2 + 2), a_c * 1 / (1 + 2)])


def test_only_the_nearest_neighbours_count() -> None:
    found = knn(neighbours=1).scores(np.array([[0, 1]]))[0]
    assert found.tolist() == pytest.approx([0, 0, 2 / np.sqrt(3 * 2), 0, 0])


def test_items_of_many_blocks_have_the_same_similarities(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = knn().scores(SPLIT.history("test").newest(2))
    monkeypatch.setattr("iisan_core.model.together.ROWS_AT_ONCE", 2)
    assert knn().scores(SPLIT.history("test").newest(2)) == pytest.approx(whole)


@pytest.fixture(scope="module", params=KINDS)
def run(request, world, tmp_path_factory) -> RunFolder:
    config = RunConfig.model_validate(
        {"dataset": world.dataset.folder, "protocol": {"max_history": 4}, "baseline": {"kind": request.param}}
    )
    path = tmp_path_factory.mktemp("counted") / request.param
    (ended,) = train(config, path)
    assert (ended.reason, ended.epochs) == ("counted", 0)
    return RunFolder.open(path)


def test_a_counted_run_leaves_what_every_run_leaves(run: RunFolder, finished: RunFolder) -> None:
    ranks, trained = pl.read_parquet(run.ranks), pl.read_parquet(finished.ranks)
    assert ranks.schema == trained.schema
    own = {"valid", "test", "valid_unmasked", "test_unmasked", TOP, NOVELTY, POPULARITY, COLD, DIVERSITY}
    shared = [c for c in ranks.columns if c not in own]
    assert ranks.select(shared).equals(trained.select(shared)), "the same users, targets and protocol"
    results = run.results()
    assert results["quality"]["test"] == summary(ranks["test"].to_numpy())
    assert results["beyond"] == beyond_accuracy(ranks, items=results["data"]["items"])
    assert results["beyond"]["Diversity@10"] is None, "it reads no states"
    assert pl.read_parquet(run.item_ids).equals(pl.read_parquet(finished.item_ids))
    assert results["protocol"] == finished.results()["protocol"]
    assert run.status().state == "finished"


def test_it_stands_in_the_same_table_as_a_trained_run(run: RunFolder, finished: RunFolder) -> None:
    readable = readable_runs([run.path, finished.path])
    assert readable.left_out == {}
    table = leaderboard(readable.runs)
    assert set(table["towers"]) == {run.config().recommender, "image + text + inter"}


def test_neighbours_find_what_popularity_cannot(run: RunFolder, world) -> None:
    found = run.results()["quality"]["test"]["HR@10"]
    guessing = 100 * 10 / world.dataset.items.height
    assert found > 2 * guessing if run.name == "item-knn" else found < 2 * guessing


def test_counting_again_gives_the_same(run: RunFolder) -> None:
    before = run.results()["quality"]
    (_,) = resume(run)
    assert run.results()["quality"] == before


def test_ranked_anew_it_has_the_same_ranks(run: RunFolder) -> None:
    assert rank_anew(run).equals(pl.read_parquet(run.ranks))


def test_a_preset_counts_it(run: RunFolder, world) -> None:
    config = load_preset(run.name).config(dataset=world.dataset.folder, caches={}, settings=["protocol.max_history=4"])
    assert config.with_absolute_paths() == run.config()


def test_it_does_not_recommend(run: RunFolder) -> None:
    with pytest.raises(RefusedError, match=rf"holds the baseline {run.name}: .* keeps no item vectors"):
        Recommender.load(run.path)


@pytest.mark.slow
def test_most_popular_on_scientific(scientific: Dataset, tmp_path: Path) -> None:
    config = RunConfig.model_validate({"dataset": scientific.folder, "baseline": {"kind": "popular"}})
    (_,) = train(config, tmp_path / "run")
    quality = RunFolder.open(tmp_path / "run").results()["quality"]["test"]
    assert quality["HR@10"] == pytest.approx(1.50, abs=0.01)
    assert quality["NDCG@10"] == pytest.approx(0.94, abs=0.01)
