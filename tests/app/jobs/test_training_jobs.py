"""Detached trainings and extractions, killed, stopped and starved in every phase; nothing that was done is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
import torch

from app.jobs.process import start, start_again, start_run, stop
from iisan_core.config.schema import save_config
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import train

from .conftest import is_there, state_is, until

pytestmark = pytest.mark.long
LONG = {"epochs": 2000, "patience": 2000}
STARTER = """
import sys, time
from pathlib import Path
from iisan_core.config.schema import load_config
from app.jobs.process import start_run
run = start_run(load_config(Path(sys.argv[1])), Path(sys.argv[2]), command="iisan train")
print("started", flush=True)
time.sleep(120)
"""


def same_outcome(one, other):
    for name in ("best/model.safetensors", "checkpoint/state.safetensors", "items.safetensors"):
        assert (one.path / name).read_bytes() == (other.path / name).read_bytes()
    assert one.results()["quality"] == other.results()["quality"]


def epoch_is(run, epoch):
    return lambda: run.status().epoch >= epoch


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory):
    """A run of many small steps, so that a test can be in the middle of it, trained without any disturbance."""
    config = world.config(training={"epochs": 6, "batch_size": 2})
    path = tmp_path_factory.mktemp("runs") / "undisturbed"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in train(config, path, command="iisan train"):
        pass
    torch.set_num_threads(threads)
    return RunFolder(path)


def test_a_run_started_detached_is_as_one_trained_here(workspace, world, finished):
    run = start_run(world.config(), workspace.runs / "run", command="iisan train x")
    until(state_is(run, "finished", "failed"))
    same_outcome(run, finished)
    assert run.command() == "iisan train x"
    until(lambda: "ended after epoch 4" in "\n".join(run.log_tail(of=run.output)))  # its last words, a moment later
    assert run.status().device == "cpu"


@pytest.mark.parametrize("killed", ["trainer", "app", "both"])
def test_kill_9_loses_no_finished_epoch(workspace, undisturbed, killed, tmp_path):
    config = undisturbed.config()
    save_config(config, tmp_path / "config.yaml")
    run = RunFolder(workspace.runs / "run")
    command = [sys.executable, "-c", STARTER, str(tmp_path / "config.yaml"), str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as app:
        assert app.stdout.readline() == b"started\n"
        until(epoch_is(run, 2))
        trainer = run.status().pid
        if killed in ("trainer", "both"):
            os.kill(trainer, signal.SIGKILL)
        if killed in ("app", "both"):
            app.kill()
        if killed == "app":
            until(state_is(run, "finished", "failed", "interrupted"))
        else:
            until(state_is(run, "interrupted"))
            assert run.status().epoch >= 2
            assert start_again(run) != trainer
            until(state_is(run, "finished", "failed"))
        app.kill()
    assert run.status().state == "finished", run.log_tail()
    same_outcome(run, undisturbed)
    assert [event["epoch"] for event in run.events()] == [1, 2, 3, 4, 5, 6]


def test_stop_while_starting_and_while_training_then_resume(workspace, world):
    run = start_run(world.config(training=LONG), workspace.runs / "run", command="iisan train")
    assert [stage.action for stage in stop(run)] == ["asked", "ended"]
    assert (run.status().state, run.status().epoch) == ("stopped", 0)

    start_again(run)
    until(epoch_is(run, 3))
    assert [stage.action for stage in stop(run)] == ["asked", "ended"]
    stopped = run.status()
    assert (stopped.state, stopped.epochs) == ("stopped", 2000)
    assert stopped.epoch >= 3

    start_again(run)
    until(epoch_is(run, stopped.epoch + 1))
    assert list(stop(run))[-1].action == "ended"
    epochs = [event["epoch"] for event in run.events()]
    assert epochs == list(range(1, len(epochs) + 1))


def test_two_shells_on_one_run_and_two_runs_at_once(workspace, world):
    first = start_run(world.config(training=LONG), workspace.runs / "first", command="iisan train")
    until(state_is(first, "running"))
    shell = [sys.executable, "-m", "app.cli"]
    again = subprocess.run([*shell, "resume", str(first.path)], capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert f"is being trained by process {first.status().pid}" in again.stderr
    assert first.status().state == "running"

    save_config(world.config(), workspace.root / "config.yaml")
    train = ["train", "--config", str(workspace.root / "config.yaml"), "--run"]
    refused = subprocess.run(
        [*shell, *train, str(workspace.runs / "second"), "--no-wait"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "device cpu is taken by first" in refused.stderr
    assert not (workspace.runs / "second").exists()

    waiting = subprocess.Popen([*shell, *train, str(workspace.runs / "second")], stderr=subprocess.PIPE, text=True)
    second = RunFolder(workspace.runs / "second")
    until(state_is(second, "queued"))
    list(stop(first))
    assert waiting.wait(timeout=60) == 0
    assert "queued behind first" in waiting.stderr.read()
    waiting.stderr.close()
    assert second.status().state == "finished"


def test_an_extraction_is_stopped_and_goes_on(workspace, world, bert_folder):
    data = workspace.datasets / "tiny"
    shutil.copytree(world.dataset.folder, data)
    argv = ["extract", str(data), "--text", str(bert_folder), "--layers", "all", "--batch-size", "1", "--device", "cpu"]
    job = start(argv, workspace=workspace, device="cpu")
    until(lambda: state_is(job, "running")() and job.status().steps is not None)
    assert job.status().steps.doing == "text states"
    assert job.status().steps.total == world.dataset.items.height
    assert [stage.action for stage in stop(job)] == ["asked", "ended"] or job.status().state == "finished"
    start_again(job)
    until(state_is(job, "finished", "failed"))
    assert job.status().state == "finished", job.log_tail()
    (manifest,) = (workspace.root / "caches" / "tiny world").glob("text-*/manifest.json")
    assert json.loads(manifest.read_text())["complete"]


def test_a_full_disk_is_a_failure_with_its_name_and_the_run_goes_on_afterwards(workspace, world, finished):
    """The files of a run may not grow beyond a size that the checkpoint exceeds."""
    run = RunFolder.create(workspace.runs / "run", config=world.config().with_absolute_paths(), command="iisan train")
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
    program = limit + "sys.argv = ['iisan', 'resume', sys.argv[1]]; runpy.run_module('app.cli', run_name='__main__')"
    process = subprocess.run([sys.executable, "-c", program, str(run.path)], capture_output=True, check=False)
    assert process.returncode == 1
    status = run.status()
    assert status.state == "failed"
    assert status.message.startswith("the disk is full"), status.message
    assert "iisan resume" in status.message
    start_again(run)
    until(state_is(run, "finished", "failed"))
    same_outcome(run, finished)


def test_a_small_disk_that_runs_full(workspace, world, finished):
    """A file system of its own, where the kernel lets us make one: really no space left, status included."""
    disk = workspace.root / "disk"
    disk.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a tmpfs; RLIMIT_FSIZE is tested above")
    try:
        run = start_run(world.config(), disk / "run", command="iisan train")
        with (disk / "ballast").open("wb", buffering=0) as stream, suppress(OSError):
            while True:
                stream.write(b"x" * 1024)
        until(state_is(run, "failed", "finished", "interrupted"))
        assert run.status().state == "failed", run.status()
        assert "the disk is full" in run.status().message
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        (disk / "ballast").unlink()
        start_again(run)
        until(state_is(run, "finished", "failed", "interrupted"))
        same_outcome(run, finished)
        assert not is_there(run.status().pid) or run.status().state == "finished"
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
