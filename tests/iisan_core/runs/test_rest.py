"""A run that has to find all that came after a moment: metrics of several items each, wherever figures are shown."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from data_tools.writing import write_dataset
from iisan_core.config.schema import RunConfig
from iisan_core.data.split import split
from iisan_core.evaluation.metrics import OF_SEVERAL
from iisan_core.evaluation.rank_table import read_rank_table
from iisan_core.experiments.differences import paired_differences
from iisan_core.experiments.leaderboard import leaderboard
from iisan_core.runs.evaluate import evaluate
from iisan_core.runs.results import rank_anew
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import train


@pytest.fixture(scope="module")
def dataset(world, tmp_path_factory):
    """The tiny world's log with times of its own, so that a cut in time leaves some users several items."""
    log = world.dataset.interactions.with_columns(
        timestamp=pl.lit(np.random.default_rng(0).integers(0, 10**6, world.dataset.interactions.height))
    )
    folder = tmp_path_factory.mktemp("timed") / "dataset"
    return write_dataset(
        folder,
        name="timed",
        source="made by a test",
        items=world.dataset.items.drop("image"),
        interactions=log,
        images={},
    )


def finished_run(dataset, path, **changes) -> RunFolder:
    protocol = {"split": "time", "target": "rest", "valid_from": 0.5, "test_from": 0.7, "min_interactions": 3}
    training = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "device": "cpu"}
    raw = {"dataset": dataset.folder, "protocol": protocol | {"max_history": 4}, **changes}
    for _ in train(RunConfig.model_validate(raw | ({} if "baseline" in raw else {"training": training})), path):
        pass
    return RunFolder.open(path)


@pytest.fixture(scope="module", params=["ids", "popular"])
def run(request, dataset, tmp_path_factory) -> RunFolder:
    changes = {"ids": {"model": {"ids": True, "embedding": 8}}, "popular": {"baseline": {"kind": "popular"}}}
    return finished_run(dataset, tmp_path_factory.mktemp("runs") / request.param, **changes[request.param])


def test_every_item_held_out_has_a_rank(run, dataset):
    kept = split(dataset, run.config().protocol)
    table = read_rank_table(run.ranks).drop_nulls("test")
    assert table["user_id"].to_list() == kept.users("test").to_list()
    assert table["test_all"].list.len().to_list() == kept.relevant("test").lengths.tolist()
    assert max(kept.relevant("test").lengths) > 1, "or nothing is tested"
    assert table["test"].to_list() == table["test_all"].list.min().to_list()


def test_figures_are_plain_means_over_users(run):
    lists = read_rank_table(run.ranks).drop_nulls("test")["test_all"].to_list()
    recall = 100 * np.mean([np.mean([rank <= 10 for rank in ranks]) for ranks in lists])
    precision = 100 * np.mean([sum(rank <= 10 for rank in ranks) / 10 for ranks in lists])
    quality = run.results()["quality"]["test"]
    assert quality["Recall@10"] == pytest.approx(recall)
    assert quality["Precision@10"] == pytest.approx(precision)
    (row,) = evaluate(run, ks=(5, 10, 20, 50), beyond=True).rows(named=True)
    assert {name: row[name] for name in quality} == quality
    assert [name for name in row if name.endswith("@5")] == [f"{name}@5" for name in OF_SEVERAL]
    assert row["Coverage@10"] == run.results()["beyond"]["Coverage@10"]


def test_the_tables_of_runs_know_these_metrics(run):
    table = leaderboard([run], metrics=["Recall@10", "MAP@7"], intervals=True)
    assert table["test_Recall@10"].item() == run.results()["quality"]["test"]["Recall@10"]
    assert table["test_MAP@7_low"].item() <= table["test_MAP@7"].item() <= table["test_MAP@7_high"].item()
    found = paired_differences([run], against=run, metrics=["Recall@10"])
    assert (found["difference"].item(), found["users"].item()) == (0, evaluate(run)["users"].item())


def test_ranked_anew_it_has_the_same_table(run):
    assert rank_anew(run).equals(read_rank_table(run.ranks))


def test_validation_and_groups_are_of_lists_too(run):
    (row,) = evaluate(run, ks=(10,), subset="valid").rows(named=True)
    assert row["MAP@10"] == run.results()["quality"]["valid"]["MAP@10"]
    assert evaluate(run, ks=(10,), by="length", groups=2)["users"][1:].sum() == evaluate(run)["users"].item()
