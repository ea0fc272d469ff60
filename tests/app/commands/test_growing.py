"""Runs outlive their data: `iisan finish`, `iisan train --from`, and what verbs say of items that came later."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from iisan_core.data.dataset import Dataset
from iisan_core.files.checksums import seal
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import train
from iisan_core.training.events import Progress
from tests.tiny_world import TinyWorld

pytestmark = pytest.mark.usefixtures("one_thread")
Shell = Callable[..., Any]


@pytest.fixture
def dataset(world: TinyWorld, workspace: Path) -> Dataset:
    """The tiny world's, in a workspace of its own, that a test lets grow."""
    for name, cache in world.caches.items():
        shutil.copytree(cache, workspace / "caches" / "tiny world" / name)
    return Dataset.load(shutil.copytree(world.dataset.folder, workspace / "datasets" / "tiny world"))


@pytest.fixture
def stopped(world: TinyWorld, dataset: Dataset, workspace: Path) -> RunFolder:
    """A run that broke off in its third epoch."""
    events = train(world.config().model_copy(update={"dataset": dataset.folder}), workspace / "runs" / "stopped")
    for event in events:
        if isinstance(event, Progress) and event.epoch == 3:
            break
    events.close()
    return RunFolder.open(workspace / "runs" / "stopped")


def grow(dataset: Dataset) -> None:
    """A new item, in the history of a user of before and of one who has nothing else."""
    new = dataset.items.head(1).with_columns(item_id=pl.lit("new"), image=pl.lit(None, dtype=pl.String))
    pl.concat([new, dataset.items]).write_parquet(dataset.folder / "items.parquet")
    rows = pl.DataFrame([("u79", "new", 99), ("v1", "new", 1)], schema=dataset.interactions.schema, orient="row")
    pl.concat([dataset.interactions, rows]).write_parquet(dataset.folder / "interactions.parquet")
    seal(dataset.folder)


def test_a_stopped_run_is_finished_and_used_while_its_data_grow(
    shell: Shell, stopped: RunFolder, dataset: Dataset
) -> None:
    closed = shell("finish", stopped.path, "--json")
    assert closed.code == 0, closed.err
    assert json.loads(closed.out)["efficiency"]["epochs"] == 2
    assert "finished at its best epoch" in closed.err
    assert stopped.status().state == "finished"
    again = shell("finish", stopped.path)
    assert (again.code, "has finished already" in again.err) == (2, True)
    before = json.loads(shell("evaluate", stopped.path, "--anew", "--json").out)
    grow(dataset)
    anew = shell("evaluate", stopped.path, "--anew", "--json")
    assert json.loads(anew.out) == before
    assert "1 items of the catalogue are not in this run, nor 2 interactions with them" in anew.err
    users = ("--user", "u79", "--user", "v1", "--user", "u00")
    answer = shell("recommend", stopped.path, *users, "-k", 3, "--json")
    assert answer.code == 0, answer.err
    known, unknown, other = json.loads(answer.out)
    assert (len(known["recommended"]), known["passed_over"]) == (3, 1)
    assert (unknown["recommended"], unknown["passed_over"]) == (None, 1)
    assert (len(other["recommended"]), other["passed_over"]) == (3, 0)
    assert "v1: nothing to recommend, for all 1 items of the history are not in this run" in answer.err
    said = f"u79: 1 of {len(known['history'])} items of the history are not in this run and were passed over"
    assert said in answer.err
    assert "1 items of the catalogue are not in this run and never recommended by it" in answer.err
    people = shell("recommend", stopped.path, *users, "-k", 3)
    assert people.out.count("recommended") == 2
    why = shell("explain", stopped.path, "--user", "v1", "--item", "i01")
    assert why.code == 2
    assert "its 1 items are in the catalogue, not in this run, because they came after its training" in why.err
    assert shell("explain", stopped.path, "--user", "u79", "--item", "i01").code == 0


def test_another_run_is_a_start(shell: Shell, stopped: RunFolder, world: TinyWorld, workspace: Path) -> None:
    config = ("--config", stopped.path / "config.yaml", "--set", "training.epochs=1")
    started = shell("train", *config, "--from", stopped.path, "--run", workspace / "runs" / "second", "--json")
    assert started.code == 0, started.err
    start = json.loads(started.out)["start"]
    assert (start["run"], start["fresh"]) == ("runs/stopped", {})
    text = (workspace / "runs" / "second" / "config.yaml").read_text()
    assert "start_from: runs/stopped" in text
    nowhere = shell("train", *config, "--from", workspace / "nowhere", "--run", workspace / "runs" / "third")
    assert (nowhere.code, "is no run folder" in nowhere.err) == (2, True)
    assert not (workspace / "runs" / "third").exists()
