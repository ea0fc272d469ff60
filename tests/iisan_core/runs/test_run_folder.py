import os
import subprocess
import sys

import psutil
import pytest

from iisan_core.errors import RefusedError
from iisan_core.files import read_json, write_json, write_text
from iisan_core.runs.run_folder import RunFolder


@pytest.fixture
def run(world, tmp_path):
    return RunFolder.create(tmp_path / "run", config=world.config(), command="iisan train --preset x")


def test_a_new_run_holds_its_configuration_and_command(run, world):
    assert sorted(p.name for p in run.path.iterdir()) == ["checksums.json", "command.txt", "config.yaml"]
    assert run.config() == world.config()
    assert (run.path / "command.txt").read_text() == "iisan train --preset x\n"
    assert RunFolder.open(str(run.path)) == run
    assert run.name == "run"


def test_a_taken_place_is_refused(run, world):
    with pytest.raises(RefusedError, match="exists already"):
        RunFolder.create(run.path, config=world.config(), command="")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RefusedError, match=r"is no run folder: it has no config.yaml; start a run with `iisan train`"):
        RunFolder.open(tmp_path)


def test_a_run_that_was_never_started_is_interrupted(run):
    assert (run.status().state, run.status().message[:20]) == ("interrupted", "it was never started")


def test_status_names_this_process(run):
    run.write_status("running", epoch=3, epochs=9, message="words")
    status = run.status()
    assert (status.state, status.epoch, status.epochs, status.message) == ("running", 3, 9, "words")
    assert status.pid == os.getpid()
    assert status.pid_started == psutil.Process().create_time()


@pytest.fixture(scope="module")
def gone():
    """The pid of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def overwrite_status(run, **values):
    path = run.path / "status.json"
    write_json(path, read_json(path, what="status") | values)


@pytest.mark.parametrize("state", ["queued", "starting", "running"])
def test_a_run_whose_process_is_gone_is_interrupted(run, gone, state):
    run.write_status(state, epoch=2)
    overwrite_status(run, pid=gone)
    assert (run.status().state, run.status().epoch) == ("interrupted", 2)


def test_a_run_that_the_kernel_ended_names_half_its_batch(run, gone, monkeypatch):
    run.write_status("running")
    overwrite_status(run, pid=gone)
    before = run.status()
    assert "memory" not in before.message
    monkeypatch.setattr("iisan_core.runs.status.oom_kills", lambda: before.oom_kills + 2)
    assert "the kernel ended 2 processes for lack of memory" in run.status().message
    assert run.status().message.endswith(f"training.batch_size={16 // 2}, half of what it had")


def test_a_pid_that_belongs_to_another_program_by_now_is_no_sign_of_life(run):
    run.write_status("running")
    overwrite_status(run, pid_started=psutil.Process().create_time() - 100)
    assert run.status().state == "interrupted"


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_what_has_ended_stays_ended(run, gone, state):
    run.write_status(state)
    overwrite_status(run, pid=gone)
    assert run.status().state == state


def test_a_damaged_status_is_refused(run):
    run.write_status("running")
    overwrite_status(run, state="dancing", mood="good")
    with pytest.raises(RefusedError, match=r"(?s)state: .*'dancing'.*mood: unknown key"):
        run.status()


def test_events_are_lines_and_an_unfinished_last_one_waits(run):
    assert list(run.events()) == []
    records = [{"event": "epoch", "epoch": 1}, {"event": "epoch", "title": "ü\u2028x"}]
    for record in records:
        run.append_event(record)
    with (run.path / "metrics.jsonl").open("a") as stream:
        stream.write('{"event": "ep')
    assert list(run.events()) == records


@pytest.mark.parametrize(("line", "said"), [("{", "line 2 is not JSON"), ("[1]", "line 2 is no event")])
def test_a_line_that_is_no_event_is_refused(run, line, said):
    run.append_event({"event": "epoch"})
    with (run.path / "metrics.jsonl").open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(RefusedError, match=said):
        list(run.events())


def test_the_stop_file(run):
    assert not run.stop_asked()
    run.withdraw_stop()
    run.ask_to_stop()
    assert run.stop_asked()
    run.withdraw_stop()
    assert not run.stop_asked()


def test_results_are_there_or_refused(run):
    with pytest.raises(RefusedError, match=r"has no results yet; let it finish, or go on with `iisan resume`"):
        run.results()
    run.write_results({"quality": {}})
    assert run.results() == {"quality": {}}
    write_text(run.path / "results.json", "{")
    with pytest.raises(RefusedError, match="is no results of a run: not valid JSON"):
        run.results()
