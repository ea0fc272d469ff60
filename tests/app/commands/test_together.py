"""`iisan train` by several processes: started by itself, taken up again when one of them is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import ensure_trained
from tests.iisan_core.runs.test_train import epochs
from tests.tiny_world import TinyWorld

SETTINGS = {"processes": 2, "epochs": 4, "batch_size": 16, "device": "cpu", "patience": 50}


@pytest.fixture
def iisan(workspace: Path) -> Callable[..., subprocess.Popen[str]]:
    """A verb in a process of its own."""
    variables = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    variables |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "app", *map(str, arguments)]
        return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def arguments(world: TinyWorld, **training: Any) -> list[object]:
    caches = [part for cache in world.caches.values() for part in ("--cache", cache)]
    model = [
        "--set",
        "model.dropout=0",
        "--set",
        "model.modality_dropout=0",
        "--set",
        "model.bottleneck=4",
        "--set",
        "model.embedding=8",
    ]
    settings = [part for name, value in (SETTINGS | training).items() for part in ("--set", f"training.{name}={value}")]
    return ["train", world.dataset.folder, *caches, "--preset", "plain", *model, *settings]


def config_of(run: RunFolder, **training: Any) -> Any:
    found = run.config()
    return found.model_copy(update={"training": found.training.model_copy(update=training)})


def test_it_starts_its_processes_and_ends_as_one_would(iisan: Any, world: TinyWorld, workspace: Path) -> None:
    working = iisan(*arguments(world), "--run", workspace / "runs" / "both")
    said, errors = working.communicate(timeout=300)
    assert working.returncode == 0, errors
    assert said.count("HR@10") == 1, "the first one speaks for both"
    run = RunFolder.open(workspace / "runs" / "both")
    assert (run.status().state, epochs(run)) == ("finished", [1, 2, 3, 4])
    assert "2 processes train together" in run.log.read_text()
    one = ensure_trained(config_of(run, processes=1), workspace / "runs" / "one")
    for mine, other in zip(run.events(), one.events(), strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-4)
    assert run.results()["quality"]["test"]["HR@10"] == pytest.approx(one.results()["quality"]["test"]["HR@10"], abs=3)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_process_ends_all_and_the_run_goes_on(iisan: Any, world: TinyWorld, workspace: Path, lost: int) -> None:
    run = workspace / "runs" / "lost"
    working = iisan(*arguments(world, epochs=15), "--run", run)
    until(lambda: (run / "checkpoint" / "state.safetensors").exists())
    os.kill(worker(working.pid, rank=lost), signal.SIGKILL)
    _, errors = working.communicate(timeout=120)
    assert working.returncode != 0
    assert not RunFolder.open(run).status().active or lost == 0
    assert "Traceback" not in errors
    assert f"process {lost} of the 2 that trained together has ended by signal 9" in errors
    assert "go on with `iisan resume`" in errors
    again = iisan("resume", run)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    resumed = RunFolder.open(run)
    assert (resumed.status().state, epochs(resumed)[-1]) == ("finished", 15)
    whole = ensure_trained(config_of(resumed, processes=1), workspace / "runs" / "whole")
    assert [e["loss"] for e in resumed.events()] == pytest.approx([e["loss"] for e in whole.events()], rel=1e-3)


def test_a_cluster_that_wants_its_machine_back_stops_all_of_them(iisan: Any, world: TinyWorld, workspace: Path) -> None:
    run = workspace / "runs" / "left"
    working = iisan(*arguments(world, epochs=500, patience=500), "--run", run)
    until(lambda: (run / "checkpoint" / "state.safetensors").exists())
    working.send_signal(signal.SIGUSR1)  # to the one that has started them
    _, errors = working.communicate(timeout=300)
    assert working.returncode == 128 + signal.SIGUSR1, errors
    assert "stopped by SIGUSR1; the last finished epoch is kept" in errors
    assert "Traceback" not in errors
    left = RunFolder.open(run)
    assert (left.status().state, epochs(left)) == ("stopped", list(range(1, left.status().epoch + 1)))


def until(true: Callable[[], bool]) -> None:
    for _ in range(1200):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to that")


def worker(parent: int, *, rank: int) -> int:
    """The process that torchrun started with this rank."""
    for child in psutil.Process(parent).children(recursive=True):
        if child.environ().get("RANK") == str(rank):
            return child.pid
    raise AssertionError(f"no process of rank {rank}")
