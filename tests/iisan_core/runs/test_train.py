"""Runs from start to end: what lies in the folder, and that stopping leaves no trace in the outcome."""

import shutil
import threading

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from iisan_core.config.schema import load_config
from iisan_core.errors import IisanError, RefusedError
from iisan_core.evaluation.metrics import summary
from iisan_core.files import read_json
from iisan_core.model.saving import load_model
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import prepare, resume, train
from iisan_core.runs.worker import heartbeat
from iisan_core.training.events import EpochEnded, Progress, TrainingEnded
from iisan_core.training.inputs import RunInputs

OUTCOME = (
    "best/model.safetensors",
    "best/config.json",
    "checkpoint/state.safetensors",
    "items.safetensors",
    "parts.safetensors",
)
FILES = {
    "config.yaml", "command.txt", "environment.json", "status.json", "metrics.jsonl", "train.log", "ranks.parquet",
    "results.json", "item_ids.parquet", "checksums.json", *OUTCOME,
}  # fmt: skip


def same_outcome(one, other):
    assert all((one.path / name).read_bytes() == (other.path / name).read_bytes() for name in OUTCOME)
    assert one.results()["quality"] == other.results()["quality"]
    assert pl.read_parquet(one.ranks).equals(pl.read_parquet(other.ranks))


def epochs(run):
    return [event["epoch"] for event in run.events() if event["event"] == "epoch"]


def run_until(world, path, *, epoch, step=1):
    """The events of a run that has come to a step, and its folder."""
    events = train(world.config(), path)
    for event in events:
        if isinstance(event, Progress) and (event.epoch, event.step) == (epoch, step):
            return events, RunFolder.open(path)
    raise AssertionError("the run ended before")


def test_the_folder_holds_what_the_contract_names(finished):
    files = {p.relative_to(finished.path).as_posix() for p in finished.path.rglob("*") if p.is_file()}
    assert files == FILES


def test_records_of_a_finished_run(finished, world):
    settled = world.config().with_precision("float32")  # what was left open is chosen
    assert load_config(finished.path / "config.yaml") == settled
    assert (finished.path / "command.txt").read_text() == "iisan train\n"
    environment = read_json(finished.path / "environment.json", what="environment")
    assert torch.__version__.startswith(environment["libraries"]["torch"].split("+")[0])
    status = finished.status()
    assert (status.state, status.epoch, status.epochs) == ("finished", 4, 4)
    assert epochs(finished) == [1, 2, 3, 4]
    log = finished.log.read_text().splitlines()
    assert ["epoch 1: loss" in line for line in log] == [False, True, False, False, False, False]
    assert log[-1].endswith("finished after epoch 4 (epochs)")


def test_results_are_those_of_the_ranks_at_the_best_epoch(finished, world):
    results, ranks = finished.results(), pl.read_parquet(finished.ranks)
    assert ranks.columns[:5] == ["user_id", "valid", "test", "valid_unmasked", "test_unmasked"]
    assert ranks["user_id"].to_list() == world.dataset.interactions["user_id"].unique(maintain_order=True).to_list()
    for subset in ("valid", "test"):
        assert results["quality"][subset] == summary(ranks[subset].to_numpy())
    history = [event for event in finished.events() if event["event"] == "epoch"]
    best = max(history, key=lambda event: event["valid"]["HR@10"])
    assert results["efficiency"]["best_epoch"] == best["epoch"]
    assert results["quality"]["valid"] == best["valid"]
    assert results["efficiency"]["epochs"] == 4
    assert results["efficiency"]["seconds_per_epoch"] > 0
    model = load_model(finished.best)
    assert results["efficiency"]["trainable_parameters"] == sum(p.numel() for p in model.parameters())
    assert (results["seed"], results["protocol"]["max_history"]) == (0, 4)
    assert results["data"]["dataset"] == "tiny world"


def test_item_vectors_have_a_padding_row(finished):
    table = load_file(finished.item_vectors)["items"]
    assert table.shape == (finished.results()["data"]["items"] + 1, 8)
    assert not table[0].any()
    assert table[1:].any(dim=1).all()


def test_the_same_seed_gives_the_same_run_and_another_does_not(world, finished, tmp_path):
    for seed in (0, 1):
        for _ in train(world.config(training={"seed": seed}), tmp_path / str(seed)):
            pass
    same_outcome(RunFolder.open(tmp_path / "0"), finished)
    other = RunFolder.open(tmp_path / "1")
    assert load_file(other.item_vectors)["items"].tolist() != load_file(finished.item_vectors)["items"].tolist()


@pytest.mark.parametrize(("epoch", "step"), [(2, 1), (3, 3)])
def test_a_run_stopped_and_resumed_is_as_one_never_stopped(world, finished, tmp_path, epoch, step):
    events, run = run_until(world, tmp_path / "run", epoch=epoch, step=step)
    run.ask_to_stop()
    *_, ended = events
    assert ended.reason == "stopped"
    assert (run.status().state, run.status().epoch) == ("stopped", epoch - 1)
    with pytest.raises(RefusedError, match="has no results yet"):
        run.results()

    assert [type(event) for event in resume(run)].count(EpochEnded) == 4 - (epoch - 1)
    assert run.status().state == "finished"
    assert not run.stop_asked()
    assert epochs(run) == [1, 2, 3, 4]
    same_outcome(run, finished)


def test_an_abandoned_run_goes_on_as_well(world, finished, tmp_path):
    events, run = run_until(world, tmp_path / "run", epoch=3, step=2)
    events.close()
    assert (run.status().state, run.status().epoch) == ("stopped", 2)
    assert "broken off" in run.status().message
    again = resume(run)
    assert (next(again).epoch, run.status().state, run.status().epoch) == (3, "running", 2)
    again.close()
    assert run.status().epoch == 2, "a resumed run has not lost its epochs"
    list(resume(run))
    same_outcome(run, finished)


def test_an_interrupted_run_goes_on_as_well(world, finished, tmp_path, monkeypatch):
    """As if the process had been killed: nothing is written after the last step."""
    events, run = run_until(world, tmp_path / "run", epoch=3, step=2)
    killed = shutil.copytree(run.path, tmp_path / "killed")
    events.close()
    monkeypatch.setattr("iisan_core.runs.job_folder.is_alive", lambda status: False)
    copy = RunFolder.open(killed)
    assert copy.status().state == "interrupted"
    list(resume(copy))
    same_outcome(copy, finished)


def test_a_finished_run_resumed_is_only_evaluated_again(finished, tmp_path):
    copy = RunFolder.open(shutil.copytree(finished.path, tmp_path / "copy"))
    assert [type(event) for event in resume(copy)] == [TrainingEnded]
    assert epochs(copy) == [1, 2, 3, 4]
    same_outcome(copy, finished)


def test_whoever_leaves_at_the_end_leaves_a_finished_run(world, tmp_path):
    events = train(world.config(training={"epochs": 1}), tmp_path / "run")
    assert isinstance(next(e for e in events if not isinstance(e, Progress | EpochEnded)), TrainingEnded)
    events.close()
    assert RunFolder.open(tmp_path / "run").status().state == "finished"


def test_an_interrupt_by_hand_stops_the_run(world, tmp_path):
    events, run = run_until(world, tmp_path / "run", epoch=2, step=1)
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt)
    assert (run.status().state, run.status().epoch) == ("stopped", 1)


def test_a_failure_is_written_down_and_raised(world, tmp_path, monkeypatch):
    monkeypatch.setattr("iisan_core.training.optimizer.rate_share", lambda *_, **__: 1e32)
    with pytest.raises(IisanError, match="diverged"):
        list(train(world.config(training={"schedule": "linear"}), tmp_path / "run"))
    run = RunFolder.open(tmp_path / "run")
    status = run.status()
    assert status.state == "failed"
    assert status.message.startswith("scores are not finite")
    assert "Traceback" in run.log.read_text()


def test_bad_input_is_refused_before_the_folder_exists(world, tmp_path):
    absent = tmp_path / "absent"
    text = world.caches["text"]
    for changes in ({"dataset": absent}, {"caches": {"text": absent}}, {"caches": {"image": text}}):
        with pytest.raises(RefusedError):
            next(train(world.config().model_copy(update=changes), tmp_path / "runs" / "run"))
    with pytest.raises(RefusedError, match="no user of"):
        next(train(world.config(protocol={"min_interactions": 50}), tmp_path / "runs" / "run"))
    assert list(tmp_path.iterdir()) == []


def test_a_batch_of_one_is_not_begun_but_an_older_run_of_it_is_read(world, tmp_path):
    config = world.config(training={"batch_size": 1})
    with pytest.raises(RefusedError, match=r"training.batch_size: a batch of 1 holds no item of somebody else .* 64"):
        next(train(config, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    assert RunFolder.create(tmp_path / "old", config=config, command="").config().training.batch_size == 1


def test_a_second_start_into_the_same_folder_is_refused(world, finished):
    before = {p: p.stat().st_mtime_ns for p in finished.path.rglob("*")}
    with pytest.raises(RefusedError, match="exists already; choose another place"):
        next(train(world.config(), finished.path))
    assert {p: p.stat().st_mtime_ns for p in finished.path.rglob("*")} == before


def test_a_run_that_is_being_trained_cannot_be_resumed(world, tmp_path):
    events, run = run_until(world, tmp_path / "run", epoch=1)
    with pytest.raises(RefusedError, match=r"is being trained by process \d+; stop it first with `iisan stop`"):
        next(resume(run))
    assert run.status().state == "running"
    events.close()


def test_a_run_stopped_in_its_first_epoch_starts_again(world, finished, tmp_path):
    events, run = run_until(world, tmp_path / "run", epoch=1)
    events.close()
    list(resume(run))
    same_outcome(run, finished)


def test_inputs_are_opened_once(world, tmp_path, monkeypatch):
    """However a run is begun: what it works on is read and checked once, before the folder exists."""
    opened = []
    whole = RunInputs.open.__func__
    monkeypatch.setattr(RunInputs, "open", classmethod(lambda cls, config: opened.append(1) or whole(cls, config)))
    prepared = prepare(world.config(training={"epochs": 1}), tmp_path / "run")
    assert [type(event).__name__ for event in prepared.train()][-1] == "TrainingEnded"
    assert len(opened) == 1
    list(prepare(world.config(training={"epochs": 1}), tmp_path / "other", inputs=prepared.inputs).train())
    assert len(opened) == 1, "nor again where they are open already"


def test_one_heart_beats_in_a_folder(world, tmp_path):
    """A training within a job of the shell leaves the heartbeat to the job."""
    prepared = prepare(world.config(training={"epochs": 1}), tmp_path / "run")

    def hearts():
        return sum(thread.name == "heartbeat" for thread in threading.enumerate())

    before = hearts()
    with heartbeat(prepared.folder):
        during = {hearts() - before for _ in prepared.train()}
        assert during == {1}
        assert hearts() - before == 1, "the training has ended, the job has not"
    assert hearts() == before
    assert max(hearts() - before for _ in prepare(world.config(training={"epochs": 1}), tmp_path / "two").train()) == 1
