"""Whatever lies in a workspace is found, and one broken folder hides nothing."""

from __future__ import annotations

import os

import pytest

from app.jobs.listing import jobs_in, open_folder, runs_in
from iisan_core.errors import RefusedError
from iisan_core.files import write_text
from iisan_core.runs.run_folder import RunFolder


def test_an_empty_workspace_has_no_jobs(workspace):
    assert jobs_in(workspace) == []


def test_runs_and_jobs_newest_first_and_the_broken_ones_with_their_problem(workspace, job, world):
    job("job").write_status("running")
    for number, name in enumerate(("one", "two", "torn", "old")):
        run = RunFolder.create(workspace.runs / name, config=world.config(), command="iisan train")
        run.write_status("finished")
        os.utime(run.path, (number, number))
    write_text(workspace.runs / "torn" / "status.json", "{")
    write_text(workspace.runs / "old" / "status.json", '{"state": "dancing"}')
    (workspace.runs / "empty").mkdir()
    os.utime(workspace.runs / "empty", (-1, -1))
    for number, name in ((2, "torn"), (3, "old")):
        os.utime(workspace.runs / name, (number, number))
    write_text(workspace.runs / "note.txt", "no run")

    found = {listed.folder.name: listed for listed in jobs_in(workspace)}
    assert list(found) == ["job", "old", "torn", "two", "one", "empty"]
    assert [found[name].status.state for name in ("job", "two", "one")] == ["running", "finished", "finished"]
    assert [name for name, listed in found.items() if listed.active] == ["job"]
    assert "not valid JSON" in found["torn"].problem
    assert "state: Input should be" in found["old"].problem
    assert "is no run folder" in found["empty"].problem
    assert {name for name, listed in found.items() if listed.is_run} == {"one", "two", "torn", "old"}
    assert [listed.folder.name for listed in runs_in(workspace)] == ["old", "torn", "two", "one", "empty"]


def test_a_folder_is_opened_as_what_it_is(workspace, job, world):
    assert open_folder(job("job").path).card().argv == ("data", "stats", "nowhere")
    run = RunFolder.create(workspace.runs / "run", config=world.config(), command="iisan train")
    assert open_folder(str(run.path)) == run
    with pytest.raises(RefusedError, match="is no run folder"):
        open_folder(workspace.root)


def test_the_tail_of_a_log(job):
    folder = job("one")
    assert folder.log_tail() == []
    write_text(folder.output, "".join(f"line {n}\n" for n in range(10_000)))
    assert folder.log_tail(3) == ["line 9997", "line 9998", "line 9999"]
    assert folder.command() == "iisan data stats nowhere"
