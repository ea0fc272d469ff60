"""A token of the hub stands in no file that is written and on no command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from app.jobs.process import start
from app.jobs.queue import turn
from iisan_core.runs.train import train
from iisan_core.runs.workspace import Workspace
from tests.app.jobs.conftest import state_is, until
from tests.tiny_world import TinyWorld

SECRET = "hf_ThisIsATokenThatNobodyShallEverFind"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("IISAN_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("IISAN_RUNTIME", str(tmp_path / "runtime"))
    return Workspace.default()


def holding(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_runs_keep_no_token(workspace: Workspace, world: TinyWorld, tmp_path: Path) -> None:
    for _ in train(world.config(training={"epochs": 1}), workspace.runs / "one"):
        pass
    assert (workspace.runs / "one" / "results.json").is_file()
    assert holding(tmp_path) == []


def test_jobs_logs_and_command_lines_keep_no_token(workspace: Workspace, world: TinyWorld, tmp_path: Path) -> None:
    argv = ["extract", str(world.dataset.folder), "--text", "nobody/nothing", "--device", "cpu"]
    with turn("cpu", who="somebody"):
        job = start(argv, workspace=workspace, device="cpu")
        until(state_is(job, "queued"))
        process = psutil.Process(job.status().pid)
        assert process.environ()["HF_TOKEN"] == SECRET, "it has the token, as whoever started it"
        lines = [" ".join(each.cmdline()) for each in [process, *process.children(recursive=True)]]
        assert not [line for line in lines if SECRET in line]
    until(state_is(job, "failed"))
    assert "nobody/nothing" in job.status().message
    assert holding(tmp_path) == []


def test_no_verb_takes_a_token_as_an_argument() -> None:
    from typer.main import get_command

    from app.cli import VERBS, cli

    def options(command: Any) -> list[str]:
        own = [name for parameter in command.params for name in parameter.opts]
        return own + [name for sub in getattr(command, "commands", {}).values() for name in options(sub)]

    iisan: Any = get_command(cli)
    offered = [name for verb in VERBS for name in options(iisan.get_command(None, verb))]
    assert "--max-tokens" in offered
    of_tokens = [name for name in offered if "token" in name and "tokens" not in name]
    assert of_tokens == ["--token-file"], "`iisan serve` is told where the token lies, not what it is"
