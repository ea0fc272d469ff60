"""Trackers are told of a training and never stand in its way; a run without any is as it was before there were any."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from accelerate import tracking as accelerates

from iisan_core.config.schema import RunConfig
from iisan_core.errors import RefusedError
from iisan_core.runs import tracking
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import resume, train

pytestmark = pytest.mark.usefixtures("one_thread")


def trained(world, path: Path, **training: Any) -> RunFolder:
    for _ in train(world.config(training={"epochs": 2, **training}), path, command="iisan train"):
        pass
    return RunFolder.open(path)


class Fake:
    """A tracker as accelerate's are, which notes what it is told."""

    made: list[Fake]
    fails_at = ""
    hangs_at = ""

    def __init__(self, **arguments: Any) -> None:
        self.arguments, self.told, self.files = arguments, [], []
        self.tracker = SimpleNamespace(log_artifact=lambda file, **_: self.files.append(Path(file).name))
        type(self).made.append(self)
        self._note("made")

    def _note(self, what: str, *rest: Any) -> None:
        self.told.append((what, *rest))
        if what == self.fails_at:
            raise SystemExit("it has had enough")
        if what == self.hangs_at:
            time.sleep(60)

    def start(self) -> None:
        sys.stdout.write("a greeting on stdout\n")
        self._note("start")

    def store_init_configuration(self, values: dict) -> None:
        self._note("configuration", values)

    def log(self, values: dict, step: int) -> None:
        self._note("log", values, step)

    def log_artifact(self, file: str) -> None:
        self.files.append(Path(file).name)

    def finish(self) -> None:
        self._note("finish")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    class Fresh(Fake):
        made: list[Fake] = []  # noqa: RUF012 - one list for each test

    for name in ("wandb", "mlflow"):
        monkeypatch.setitem(accelerates.LOGGER_TYPE_TO_CLASS, name, Fresh)
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(__spec__=SimpleNamespace(name=name)))
    return Fresh


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_is_told_configuration_epochs_and_results(world, tmp_path, fake, name, capfd):
    run = trained(world, tmp_path / "mine", trackers=[name], track_files=True)
    (tracker,) = fake.made
    assert [what for what, *_ in tracker.told] == ["made", "start", "configuration", "log", "log", "log", "finish"]
    (_, configuration), *logs = tracker.told[2:-1]
    assert configuration["training.batch_size"] == "16" and configuration["training.trackers"] == f"[{name}]"
    epochs = [event for event in run.events() if event["event"] == "epoch"]
    for (_, values, step), event in zip(logs, epochs, strict=False):
        assert step == event["epoch"]
        assert (values["loss"], values["valid/HR@10"]) == (event["loss"], event["valid"]["HR@10"])
    _, final, step = logs[-1]
    assert step == 2 and final["final/test/HR@10"] == run.results()["quality"]["test"]["HR@10"]
    assert final["final/efficiency/trainable_parameters"] == run.results()["efficiency"]["trainable_parameters"]
    assert tracker.files == ["config.yaml", "results.json", "model.safetensors", "config.json"]
    assert run.name in tracker.arguments.values()
    seen = capfd.readouterr()
    assert "a greeting" not in seen.out and "a greeting" in seen.err, "stdout is for what was asked for"
    assert "tracker" not in run.log.read_text()


@pytest.mark.parametrize("step", ["made", "start", "configuration", "log", "finish"])
def test_a_tracker_that_fails_stops_nothing(world, tmp_path, fake, step):
    fake.fails_at = step
    run = trained(world, tmp_path / "run", trackers=["wandb", "mlflow"])
    assert run.status().state == "finished"
    said = run.log.read_text()
    for name in ("wandb", "mlflow"):
        assert f"tracker {name} is told no more: it has had enough; the training goes on" in said


@pytest.mark.parametrize("step", ["start", "log", "finish"])
def test_a_tracker_that_hangs_stops_nothing(world, tmp_path, fake, step, monkeypatch):
    fake.hangs_at = step
    monkeypatch.setattr(tracking, "START_SECONDS", 0.2)
    monkeypatch.setattr(tracking, "LAST_SECONDS", 0.2)
    begun = time.monotonic()
    run = trained(world, tmp_path / "run", trackers=["wandb"])
    assert run.status().state == "finished" and time.monotonic() - begun < 50
    assert "tracker wandb is told no more: it " in run.log.read_text()


def test_a_run_is_the_same_with_trackers_and_its_record_without_as_before(world, tmp_path, fake):
    alone, told = trained(world, tmp_path / "alone"), trained(world, tmp_path / "told", trackers=["wandb"])
    for name in ("items.safetensors", "parts.safetensors", "ranks.parquet", "best/model.safetensors"):
        assert (alone.path / name).read_bytes() == (told.path / name).read_bytes(), name
    before = yaml.safe_load((alone.path / "config.yaml").read_text())["training"]
    now = yaml.safe_load((told.path / "config.yaml").read_text())["training"]
    assert not {"trackers", "track_files"} & before.keys()
    assert now == before | {"trackers": ["wandb"], "track_files": False}
    assert RunFolder.open(told.path).config().training.trackers == ("wandb",)
    assert {path.name for path in alone.path.iterdir()} == {path.name for path in told.path.iterdir()}


def test_a_stopped_run_is_told_from_where_it_goes_on(world, tmp_path, fake):
    events = train(world.config(training={"epochs": 3, "trackers": ["wandb"]}), tmp_path / "run")
    with contextlib.closing(events):
        next(event for event in events if type(event).__name__ == "EpochEnded")
    assert fake.made[0].told[-1] == ("finish",)
    for _ in resume(RunFolder.open(tmp_path / "run")):
        pass
    assert [said[-1] for said in fake.made[1].told if said[0] == "log"] == [2, 3, 3]


def test_a_tracker_that_is_not_there_is_refused_before_the_run_is(world, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        RefusedError, match=r'names mlflow, which is not installed; pip install "iisan-workbench\[mlflow\]"'
    ):
        trained(world, tmp_path / "run", trackers=["mlflow"])
    assert not (tmp_path / "run").exists()


def test_names_of_trackers_are_checked_at_the_door_and_count_once(world):
    with pytest.raises(ValueError, match="'tensorboard', 'trackio', 'wandb' or 'mlflow'"):
        world.config(training={"trackers": ["excel"]})
    twice = world.config(training={"trackers": ["wandb", "wandb"]})
    assert twice.training.trackers == ("wandb",)
    assert RunConfig.model_validate(twice.model_dump(mode="json")) == twice


def test_tensorboard_reads_what_was_written(world, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = trained(world, tmp_path / "run", trackers=["tensorboard"])
    assert "tracker" not in run.log.read_text()
    found = EventAccumulator(str(run.path / "tensorboard"))
    found.Reload()
    epochs = [event for event in run.events() if event["event"] == "epoch"]
    assert [(e.step, e.value) for e in found.Scalars("valid/HR@10")] == [
        (event["epoch"], pytest.approx(event["valid"]["HR@10"])) for event in epochs
    ]
    (final,) = found.Scalars("final/test/NDCG@10")
    assert final.value == pytest.approx(run.results()["quality"]["test"]["NDCG@10"])
    (told,) = (run.path / "tensorboard").glob("*/hparams.yml")
    assert yaml.safe_load(told.read_text())["training.epochs"] == "2"


@pytest.mark.long
def test_trackio_keeps_what_it_was_told_on_this_machine(world, tmp_path):
    """In a process of its own: it keeps threads, and where it writes is settled when it is imported."""
    pytest.importorskip("trackio", reason="the extra trackio is not installed")
    import os
    import subprocess

    config = world.config(training={"epochs": 2, "trackers": ["trackio"], "track_files": True})
    (tmp_path / "config.json").write_text(config.model_dump_json())
    program = (
        "import sys\nfrom iisan_core.config.schema import RunConfig\nfrom iisan_core.runs.train import train\n"
        "for _ in train(RunConfig.model_validate_json(open(sys.argv[1]).read()), sys.argv[2], command='x'): pass\n"
    )
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    called = [sys.executable, "-c", program, tmp_path / "config.json", tmp_path / "mine"]
    done = subprocess.run(called, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    run = RunFolder.open(tmp_path / "mine")
    assert "tracker" not in run.log.read_text()
    (base,) = (tmp_path / "trackio").glob("*.db")
    with contextlib.closing(sqlite3.connect(base)) as connection:
        rows = connection.execute("select step, metrics from metrics where run_name = 'mine' order by step").fetchall()
    assert [step for step, _ in rows] == [1, 2, 2]
    assert b"valid/HR@10" in rows[0][1] and b"final/test/HR@10" in rows[2][1]
