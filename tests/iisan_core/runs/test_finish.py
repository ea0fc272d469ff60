"""A run closed at its best epoch is as one that ended there; a grown catalogue or log does not stop a run."""

import shutil
from dataclasses import replace

import polars as pl
import pytest

from iisan_core.data.dataset import Dataset
from iisan_core.errors import IisanError, RefusedError
from iisan_core.runs.evaluate import evaluate
from iisan_core.runs.finish import finish
from iisan_core.runs.results import rank_anew
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import resume, train
from iisan_core.serving.recommender import Recommender
from iisan_core.training.events import EpochEnded, Progress
from tests.iisan_core.runs.test_train import run_until, same_outcome

pytestmark = pytest.mark.usefixtures("one_thread")


def stopped_after(config, path, *, epochs):
    """A run that broke off in the epoch after so many."""
    events = train(config, path)
    for event in events:
        if isinstance(event, Progress) and event.epoch == epochs + 1:
            break
    events.close()
    return RunFolder.open(path)


def test_it_has_the_outcome_of_a_run_of_so_many_epochs(world, tmp_path):
    run = stopped_after(world.config(), tmp_path / "run", epochs=2)
    results = finish(run)
    for _ in train(world.config(training={"epochs": 2}), tmp_path / "whole"):
        pass
    whole = RunFolder.open(tmp_path / "whole")
    same_outcome(run, whole)
    assert results["efficiency"]["epochs"] == 2
    assert {*results["efficiency"]} == {*whole.results()["efficiency"]}
    status = run.status()
    assert (status.state, status.epoch, status.epochs) == ("finished", 2, 4)
    best = results["efficiency"]["best_epoch"]
    assert status.message == f"finished at its best epoch {best}, after 2 of 4"
    assert run.log.read_text().splitlines()[-1].endswith(status.message)
    assert evaluate(run).height == 1
    assert Recommender.load(run.path).recommend(users=["u00"], k=3)


def test_it_can_still_go_on(world, finished, tmp_path):
    run = stopped_after(world.config(), tmp_path / "run", epochs=2)
    finish(run)
    assert len([event for event in resume(run) if isinstance(event, EpochEnded)]) == 2
    same_outcome(run, finished)


def test_a_diverged_run_is_closed_at_the_epoch_before(world, tmp_path, monkeypatch):
    run = stopped_after(world.config(), tmp_path / "run", epochs=2)

    def diverged(*_, **__):
        raise IisanError("scores are not finite: the training diverged")

    with monkeypatch.context() as broken:
        broken.setattr("iisan_core.training.fit.ranks_of", diverged)
        with pytest.raises(IisanError, match="diverged"):
            list(resume(run))
    assert run.status().state == "failed"
    finish(run)
    assert run.status().state == "finished"


def test_what_cannot_be_closed_says_why(world, finished, tmp_path):
    with pytest.raises(RefusedError, match="has finished already"):
        finish(finished)
    events, run = run_until(world, tmp_path / "run", epoch=1)
    with pytest.raises(RefusedError, match=r"is running; stop it first with `iisan stop`, or let it end"):
        finish(run)
    events.close()
    with pytest.raises(RefusedError, match=r"has no best epoch yet; go on with `iisan resume` for an epoch at least"):
        finish(run)
    assert run.status().state == "stopped", "a refusal changes nothing"


@pytest.fixture
def growing(world, tmp_path):
    """A dataset of the tiny world's that a test lets grow; its caches hold the items of before."""
    return Dataset.load(shutil.copytree(world.dataset.folder, tmp_path / "dataset"))


def grow(dataset):
    """Two new items first, the others in another order; two new users, one of whom knows the new items alone."""
    new = dataset.items.head(2).with_columns(item_id=pl.Series(["new1", "new2"]), image=pl.lit(None, dtype=pl.String))
    pl.concat([new, dataset.items.reverse()]).write_parquet(dataset.folder / "items.parquet")
    old = [("v1", item, n) for n, item in enumerate(["i00", "i06", "new1", "i12", "i18", "i24", "i30"])]
    rows = [*old, ("v2", "new1", 1), ("v2", "new2", 2), ("u79", "new2", 99)]
    more = pl.DataFrame(rows, schema=dict(dataset.interactions.schema), orient="row")
    users = pl.concat([dataset.interactions, more]).with_columns(of=pl.col("user_id").rank("dense"))
    users.sort("of", maintain_order=True).drop("of").write_parquet(dataset.folder / "interactions.parquet")
    return Dataset.load(dataset.folder)


@pytest.mark.parametrize("groups", [{}, {"model": {"ids": True}}], ids=["content", "ids"])
@pytest.mark.usefixtures("by_hand")
def test_a_run_keeps_to_its_own_items_when_the_catalogue_grows(world, growing, tmp_path, groups):
    config = world.config(**groups).model_copy(update={"dataset": growing.folder})
    run = stopped_after(config, tmp_path / "run", epochs=2)
    before = pl.read_parquet(run.item_ids)["item_id"].to_list()
    grow(growing)
    list(resume(run))
    assert run.status().state == "finished"
    assert pl.read_parquet(run.item_ids)["item_id"].to_list() == before
    log = run.log.read_text()
    left_out = "2 items of the catalogue are not in this run, nor 4 interactions with them (all that 1 users have)"
    assert left_out in log
    assert "the data have changed since this run began (80 users, 60 items, " in log
    said = []
    table = rank_anew(run, on_left_out=said.append)
    assert said == [f"{left_out}; they are left out"]
    ranked = pl.read_parquet(run.ranks)
    assert table["test"].to_list() == ranked["test"].to_list()
    assert "v1" in table["user_id"].to_list()
    recommender = Recommender.load(run.path)
    assert recommender.explain("i01", user="v1").parts
    assert recommender.recommend(users=["v1"], k=3)[0]


@pytest.mark.usefixtures("by_hand")
def test_the_same_data_sorted_otherwise_are_the_same_run(world, growing, tmp_path):
    config = world.config().model_copy(update={"dataset": growing.folder})
    for _ in train(config, tmp_path / "run"):
        pass
    run = RunFolder.open(tmp_path / "run")
    ranks = pl.read_parquet(run.ranks)
    shuffled = growing.items.sample(fraction=1, shuffle=True, seed=3)
    shuffled.write_parquet(growing.folder / "items.parquet")
    assert rank_anew(run)["test"].to_list() == ranks["test"].to_list()
    gone = replace(growing, items=growing.items.tail(50))
    gone.items.write_parquet(growing.folder / "items.parquet")
    gone.interactions.join(gone.items, on="item_id", how="semi").write_parquet(growing.folder / "interactions.parquet")
    with pytest.raises(RefusedError, match=r"10 of the run's 60 items are not in .* any more, the first is 'i00'"):
        rank_anew(run)
