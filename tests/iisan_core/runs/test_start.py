"""A run that starts from another one: the same guarantees, and no need of that run once it has begun."""

import shutil

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.model.saving import load_model
from iisan_core.model.transfer import ID_VECTORS
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import resume, train
from iisan_core.training.events import EpochEnded, Progress
from tests.iisan_core.runs.test_train import same_outcome

pytestmark = pytest.mark.usefixtures("one_thread")


def config_from(world, source, **groups):
    return world.config(**groups).model_copy(update={"start_from": source})


def finished_at(config, path):
    for _ in train(config, path):
        pass
    return RunFolder.open(path)


@pytest.fixture
def source(finished, tmp_path):
    """A finished run that a test may lose."""
    return RunFolder.open(shutil.copytree(finished.path, tmp_path / "source"))


def test_it_starts_where_the_other_one_was_best(world, source, tmp_path):
    run = finished_at(config_from(world, source.path, training={"epochs": 1, "seed": 5}), tmp_path / "run")
    first = next(event for event in run.events() if event["event"] == "epoch")
    fresh = finished_at(world.config(training={"epochs": 1, "seed": 5}), tmp_path / "fresh")
    assert first["loss"] < next(event for event in fresh.events() if event["event"] == "epoch")["loss"]
    started = load_file(run.start / "model.safetensors")
    assert all(
        torch.equal(tensor, started[name]) for name, tensor in load_file(source.best / "model.safetensors").items()
    )


def test_log_and_results_say_what_was_loaded(world, source, tmp_path):
    run = finished_at(config_from(world, source.path, protocol={"max_history": 6}), tmp_path / "run")
    log = run.log.read_text()
    assert f"starts from the best weights of {source.path}" in log
    assert "in part: users.position.weight: the newest 4 of 6 positions" in log
    said = run.results()["start"]
    assert (said["run"], said["fresh"]) == (str(source.path), {})
    assert said["in_part"] == {"users.position.weight": "the newest 4 of 6 positions"}
    assert "items.fusion.weight" in said["loaded"]
    assert "start" not in source.results()


@pytest.mark.parametrize("epoch", [1, 2])
def test_stopped_and_resumed_it_is_as_if_never_stopped_though_the_other_run_is_gone(world, source, tmp_path, epoch):
    config = config_from(world, source.path, training={"seed": 1})
    whole = finished_at(config, tmp_path / "whole")
    events = train(config, tmp_path / "run")
    for event in events:
        if isinstance(event, Progress) and event.epoch == epoch:
            break
    events.close()
    shutil.rmtree(source.path)
    run = RunFolder.open(tmp_path / "run")
    assert len([event for event in resume(run) if isinstance(event, EpochEnded)]) == 4 - (epoch - 1)
    same_outcome(run, whole)
    assert run.results()["start"] == whole.results()["start"]


@pytest.mark.usefixtures("by_hand")
def test_id_vectors_of_a_grown_catalogue(world, tmp_path):
    ids = {"model": {"ids": True}, "training": {"epochs": 1}}
    old = finished_at(world.config(**ids).model_copy(update={"caches": {}}), tmp_path / "old")
    folder = shutil.copytree(world.dataset.folder, tmp_path / "grown")
    items = Dataset.load(folder).items
    new = items.head(2).with_columns(item_id=pl.Series(["new1", "new2"]), image=pl.lit(None, dtype=pl.String))
    pl.concat([new, items.reverse()]).write_parquet(folder / "items.parquet")
    changes = {"caches": {}, "dataset": folder, "start_from": old.path}
    run = finished_at(world.config(**ids).model_copy(update=changes), tmp_path / "run")
    assert run.results()["start"]["in_part"][ID_VECTORS] == "60 of 62 items, by their ids"


def test_what_cannot_be_started_from_is_refused_before_the_folder_exists(world, source, tmp_path):
    for start, said in ((tmp_path / "nowhere", "is no run folder"), (_without_best(source), "no best epoch yet")):
        with pytest.raises(RefusedError, match=said):
            next(train(config_from(world, start), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def _without_best(run):
    (run.best / "model.safetensors").unlink()
    return run.path


def test_a_stopped_run_is_a_start_too(world, tmp_path):
    events = train(world.config(), tmp_path / "stopped")
    next(event for event in events if isinstance(event, EpochEnded))
    events.close()
    run = finished_at(config_from(world, tmp_path / "stopped"), tmp_path / "run")
    assert run.results()["start"]["fresh"] == {}
    assert load_model(run.best)
