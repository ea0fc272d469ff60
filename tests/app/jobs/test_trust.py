"""A job's folder from elsewhere decides nothing that widens trust."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from app.jobs.listing import open_folder
from app.jobs.process import start
from app.jobs.trust import require_trusted
from iisan_core.errors import RefusedError
from iisan_core.runs.job_folder import CARD, JobCard, JobFolder
from iisan_core.runs.workspace import Workspace

from .conftest import state_is, until


def foreign(workspace: Workspace, *argv: str, folder: str = ".", place: str = ".") -> JobFolder:
    """A job's folder as somebody else may have written it."""
    path = workspace.jobs / "foreign"
    path.mkdir(parents=True)
    workspace.datasets.mkdir(exist_ok=True)
    (path / CARD).write_text(json.dumps({"argv": argv, "device": "cpu", "workspace": place, "folder": folder}))
    return JobFolder.open(path)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("extract", "{workspace}/datasets/x", "--trust-remote-code"), "no file may"),
        (("extract", "/etc", "--text", "minilm"), "names /etc, outside"),
        (("extract", "{workspace}/../x", "--text", "minilm"), "outside"),
        (("extract", "../../../x"), "outside"),
        (("extract", "~/x"), "outside"),
        (("extract", "{workspace}/datasets/x", "--text=/root/model"), "outside"),
        (("data", "import", "{workspace}/x"), "asks for `iisan data`"),
        (("app",), "asks for `iisan app`"),
        (("resume", "{workspace}/jobs/foreign"), "asks for `iisan resume`"),
        ((), "asks for `iisan `"),
    ],
)
def test_of_a_folder_from_elsewhere_nothing_is_done_that_leads_further(
    workspace: Workspace, argv: tuple[str, ...], said: str
) -> None:
    with pytest.raises(RefusedError, match=r"not made by you|no file may") as refused:
        require_trusted(foreign(workspace, *argv))
    assert said in str(refused.value)


@pytest.mark.parametrize(("folder", "place"), [("/", "."), ("/etc", "."), (".", "/"), ("/", "/"), ("../..", ".")])
def test_it_is_done_in_the_workspace_whatever_else_it_names(workspace: Workspace, folder: str, place: str) -> None:
    card = require_trusted(foreign(workspace, "extract", "etc", folder=folder, place=place))
    assert (card.folder, card.workspace) == (workspace.root.resolve(), workspace.root.resolve())


def test_copied_out_of_a_workspace_it_cannot_name_the_whole_machine(workspace: Workspace, tmp_path: Path) -> None:
    alone = tmp_path / "downloads" / "job"
    foreign(workspace, "extract", "/etc", folder="/", place="/").path.rename(alone.parent.mkdir() or alone)
    with pytest.raises(RefusedError, match="it names the workspace /;"):
        require_trusted(JobFolder.open(alone))


def test_links_in_the_workspace_do_not_lead_out_of_it(workspace: Workspace, tmp_path: Path) -> None:
    job = foreign(workspace, "extract", "{workspace}/datasets/link", "--text", "minilm")
    (workspace.datasets / "link").symlink_to(tmp_path)
    with pytest.raises(RefusedError, match="outside of the workspace"):
        require_trusted(job)


def test_what_stays_in_the_workspace_is_done(workspace: Workspace) -> None:
    job = foreign(workspace, "extract", "{workspace}/datasets/x", "--text", "owner/model", "--layers", "0,-1")
    assert not job.is_ours()
    assert require_trusted(job).argv[0] == "extract"


def test_a_job_of_ones_own_may_name_any_place_until_it_is_copied_or_changed(
    workspace: Workspace, tmp_path: Path
) -> None:
    card = JobCard(argv=("data", "stats", "/somewhere"), device=None, workspace=workspace.root, folder=tmp_path)
    job = JobFolder.create_job(workspace.jobs / "own", card=card)
    assert job.is_ours()
    assert require_trusted(job).argv == card.argv
    shutil.copytree(job.path, workspace.jobs / "copy")
    with pytest.raises(RefusedError, match="not made by you"):
        require_trusted(JobFolder.open(workspace.jobs / "copy"))
    said: dict[str, Any] = json.loads((job.path / CARD).read_text())
    (job.path / CARD).write_text(json.dumps(said | {"argv": ["data", "stats", "/elsewhere"]}))
    with pytest.raises(RefusedError, match="not made by you"):
        require_trusted(job)


def test_programs_run_when_whoever_starts_says_so_and_not_when_the_file_does(workspace: Workspace) -> None:
    folder = start(["extract", "nowhere", "--text", "minilm", "--trust-remote-code"], workspace=workspace, device=None)
    until(state_is(folder, "failed"))
    assert folder.status().message.startswith("no dataset folder at nowhere")
    assert folder.is_ours()
    with pytest.raises(RefusedError, match=r"iisan resume .* --trust-remote-code"):
        require_trusted(folder)
    assert require_trusted(folder, programs=True).argv[0] == "extract"


def test_a_run_that_says_it_is_a_job_is_neither(workspace: Workspace) -> None:
    job = foreign(workspace, "demo")
    (job.path / "config.yaml").write_text("{}")
    with pytest.raises(RefusedError, match="neither a run nor a job"):
        open_folder(job.path)


def test_without_a_place_for_the_key_every_job_is_foreign(
    workspace: Workspace, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("IISAN_STATE", str(tmp_path / "file"))
    card = JobCard(argv=("data", "stats", "x"), device=None, workspace=workspace.root, folder=tmp_path)
    assert not JobFolder.create_job(workspace.jobs / "own", card=card).is_ours()
