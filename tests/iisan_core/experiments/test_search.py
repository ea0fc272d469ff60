"""A search: trials by validation alone, finalists with several seeds, the same however often it is broken off."""

from __future__ import annotations

import sys

import polars as pl
import pytest
import torch

from iisan_core.config.schema import RunConfig, load_config
from iisan_core.errors import RefusedError
from iisan_core.experiments.search import BASE, JOURNAL, START, Budget, run_search, trials_table, winner
from iisan_core.experiments.search_space import SPACES, Space, applied, open_space
from iisan_core.experiments.tables import TABLE, read_table
from iisan_core.runs.run_folder import RunFolder
from iisan_core.training.events import EpochEnded, TrainingEnded
from iisan_core.training.step import Stepper

pytest.importorskip("optuna")
pytestmark = pytest.mark.usefixtures("one_thread")

SPACE = Space(
    keys={
        "training.learning_rate": {"low": 1e-3, "high": 3e-2, "log": True},
        "model.blocks": {"low": 1, "high": 2},
        "training.ema": [None, 0.5],
    }
)


@pytest.fixture
def base(world):
    return world.config(training={"epochs": 2})


def search(base, folder, *, space=SPACE, seeds=(0,), **budget):
    budget = Budget(**{"trials": 4, "finalists": 1} | budget)
    return list(run_search(base, space, folder, budget=budget, seeds=seeds))


@pytest.fixture(scope="module")
def done(world, tmp_path_factory):
    """A finished search, and what it said."""
    folder = tmp_path_factory.mktemp("search")
    return folder, search(world.config(training={"epochs": 2}), folder, seeds=(0, 1))


def values_of(folder):
    return trials_table(folder).drop("trial", "seconds").rows()


def test_trials_go_by_validation_and_finalists_have_all_seeds(done, world):
    folder, records = done
    trials = trials_table(folder)
    assert trials.height == 4
    start, *others = trials.select(list(SPACE.keys)).rows(named=True)
    own = world.config().model_dump()
    assert start == {key: own[key.split(".")[0]][key.split(".")[1]] for key in SPACE.keys}, "first what it started from"
    assert all(1e-3 <= trial["training.learning_rate"] <= 3e-2 and trial["model.blocks"] in (1, 2) for trial in others)
    table = read_table(folder)
    best = trials.sort("valid_HR@10", "valid_NDCG@10", descending=True)["trial"][0]
    assert table["row"].to_list() in ([START, f"trial {best}"], [START])
    assert set(table["runs"]) == {2}
    assert [r.number for r in records if isinstance(r.event, TrainingEnded)] == list(range(1, 4 + 2 * table.height + 1))


def test_a_finalist_comes_to_what_its_trial_did(done):
    folder, _ = done
    for row in read_table(folder).filter(pl.col("row") != START).iter_rows(named=True):
        trial = trials_table(folder).row(by_predicate=pl.col("trial") == row["trial"], named=True)
        run = RunFolder.open(folder / f"trial-{row['trial']:.0f}-seed0")
        assert run.results()["quality"]["valid"]["HR@10"] == trial["valid_HR@10"]
        assert run.config().training.ema == trial["training.ema"]


def test_no_trial_looks_at_the_test(base, tmp_path, monkeypatch):
    looked = []
    from iisan_core.training import fit

    ranks_of = fit.ranks_of
    monkeypatch.setattr(fit, "ranks_of", lambda *given, **named: looked.append(given[-1]) or ranks_of(*given, **named))
    for record in run_search(base, SPACE, tmp_path, budget=Budget(trials=2), seeds=(0,)):
        if not record.run.startswith("trial ") or record.number > 2:
            break
        assert not list(tmp_path.glob("*-seed*")), "trials keep no runs, so nothing of them is tested"
    assert set(looked) == {"valid"}
    assert "test" not in (tmp_path / JOURNAL).read_text()


@pytest.mark.parametrize("at", [1, 5, 9])
def test_a_search_broken_off_goes_on_as_if_nothing_had_been(base, done, tmp_path, at):
    folder, _ = done
    ended = 0
    for record in (records := run_search(base, SPACE, tmp_path, budget=Budget(trials=4, finalists=1), seeds=(0, 1))):
        ended += isinstance(record.event, EpochEnded)
        if ended == at:
            records.close()
            break
    search(base, tmp_path, seeds=(0, 1))
    assert values_of(tmp_path) == values_of(folder)
    quality = ["valid_HR@10", "test_HR@10"]
    assert read_table(tmp_path).select(quality).rows() == read_table(folder).select(quality).rows()


def test_a_second_call_trains_nothing_and_more_trials_go_on(base, done, tmp_path):
    folder, _ = done
    search(base, tmp_path, trials=3)
    assert values_of(tmp_path) == values_of(folder)[:3]
    again = search(base, tmp_path, trials=3)
    assert [record.event for record in again] == [None] * len(again)
    search(base, tmp_path, trials=4)
    assert values_of(tmp_path) == values_of(folder)


def test_time_ends_a_search_too(base, tmp_path):
    search(base, tmp_path, minutes=1e-9)
    assert trials_table(tmp_path).height == 1, "what has begun is finished"


def test_what_cannot_be_trained_is_given_up_with_its_reason(base, tmp_path):
    space = Space(keys={"training.learning_rate": [10.0, 0.01], "model.heads": [2, 3]})
    search(base, tmp_path, space=space, trials=5)
    trials = trials_table(tmp_path)
    reasons = dict(trials.filter(pl.col("model.heads") == 2).select("training.learning_rate", "ended").rows())
    assert reasons[0.01] == "whole"
    assert "diverged" in reasons.get(10.0, "diverged")
    odd = trials.filter(pl.col("model.heads") == 3)["ended"]
    assert odd.len() and all("embedding 8 is not divisible by heads 3" in reason for reason in odd)


def test_what_does_not_fit_into_memory_is_given_up(base, tmp_path, monkeypatch):
    step = Stepper.step

    def limited(stepper, batch, gathered=None):
        if len(batch.slots) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(stepper, batch, gathered)

    monkeypatch.setattr(Stepper, "step", limited)
    search(base, tmp_path, space=Space(keys={"training.batch_size": [16, 40]}))
    for trial in trials_table(tmp_path).iter_rows(named=True):
        assert trial["ended"] == ("whole" if trial["training.batch_size"] == 16 else "CUDA out of memory.")


def test_without_optuna_the_way_to_it_is_said(base, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RefusedError, match=r'not installed: pip install "iisan-workbench\[search\]"'):
        search(base, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_starting_points_that_cannot_be_searched_from(base, world, tmp_path):
    counted = RunConfig(dataset=world.dataset.folder, baseline={"kind": "popular"})
    with pytest.raises(RefusedError, match="the baseline popular is counted, not trained"):
        search(counted, tmp_path / "new")
    with pytest.raises(RefusedError, match=r"trials start from random weights, and start_from is .*other"):
        search(base.model_copy(update={"start_from": tmp_path / "other"}), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_trials_that_fall_behind_are_given_up(base, tmp_path):
    space = Space(keys={"training.learning_rate": [0.01, 1e-7]})
    base = base.model_copy(update={"training": base.training.model_copy(update={"epochs": 6})})
    search(base, tmp_path, space=space, trials=8)
    trials = trials_table(tmp_path)
    given_up = trials.filter(pl.col("ended") == "given up")
    assert set(given_up["training.learning_rate"]) == {1e-7}
    assert given_up["epochs"].max() < 6


def test_another_search_in_the_same_folder_is_refused(base, world, done):
    folder, _ = done
    with pytest.raises(RefusedError, match="holds a search with another space; choose another folder"):
        search(base, folder, space=Space(keys={"model.blocks": [1, 2]}))
    with pytest.raises(RefusedError, match=r"another configuration .*training.epochs is 2 there, 3 now"):
        search(world.config(training={"epochs": 3}), folder)


def test_two_searches_in_one_folder_wait_for_no_one(base, tmp_path):
    first = run_search(base, SPACE, tmp_path, budget=Budget(trials=1), seeds=(0,))
    next(first)
    with pytest.raises(RefusedError, match="a search is at work in"):
        search(base, tmp_path)
    first.close()


def test_the_winner_is_who_is_best_by_mean_validation(done):
    folder, _ = done
    config, row = winner(folder)
    table = read_table(folder)
    assert row["valid_HR@10"] == table["valid_HR@10"].max()
    assert (config == load_config(folder / BASE)) == (row["row"] == START)


def test_what_is_not_better_does_not_win(base, tmp_path):
    search(base, tmp_path, trials=2)
    table = read_table(tmp_path)
    table.with_columns(pl.lit(9.0).alias("valid_HR@10")).write_parquet(tmp_path / TABLE)
    assert winner(tmp_path)[1]["row"] == START


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "it names no key"),
        ({"training.epochs": [1]}, "training.epochs has 1 values to choose from"),
        ({"training.learning_rate": {"low": 2, "high": 1}}, "low 2 is not below high 1"),
        ({"training.learning_rate": {"low": 0, "high": 1, "log": True}}, "log asks for low above 0"),
    ],
)
def test_faults_of_a_space(keys, message, tmp_path):
    import yaml

    (tmp_path / "space.yaml").write_text(yaml.safe_dump(keys))
    with pytest.raises(RefusedError, match=message):
        open_space(str(tmp_path / "space.yaml"))


@pytest.mark.parametrize("key", ["training.lerning_rate", "training.seed", "protocol.max_history", "dataset", "blocks"])
def test_keys_that_no_search_may_change(base, tmp_path, key):
    with pytest.raises(RefusedError, match=f"{key} is no key that a search may change; there are training.epochs"):
        search(base, tmp_path, space=Space(keys={key: [1, 2]}))


def test_values_that_can_never_stand_there(base, tmp_path):
    with pytest.raises(RefusedError, match=r"the space cannot be searched: .*\n.*training.batch_size"):
        search(base, tmp_path, space=Space(keys={"training.batch_size": [-1, -2]}))


@pytest.mark.parametrize("name", SPACES)
def test_every_named_space_fits_a_configuration(world, name):
    space = open_space(name)
    space.check(world.config())
    assert space.distributions().keys() == space.keys.keys()


def test_a_space_that_is_not_there(tmp_path):
    with pytest.raises(RefusedError, match=r"no space 'nowhere'; name rates, training, model, all, or a YAML file"):
        open_space("nowhere")


def test_values_laid_over_leave_the_rest(base):
    changed = applied(base, {"model.blocks": 1, "training.ema": 0.5})
    assert (changed.model.blocks, changed.training.ema) == (1, 0.5)
    assert applied(changed, {"model.blocks": base.model.blocks, "training.ema": None}) == base
