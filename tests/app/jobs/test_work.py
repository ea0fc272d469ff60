"""What a process at work says about itself, and how it ends."""

from __future__ import annotations

import signal

import pytest

from app.jobs.work import at_work, report_steps
from iisan_core.errors import IisanError, RefusedError
from iisan_core.runs.worker import in_words

from .conftest import SLEEP, state_is, until


def test_states_of_a_job_that_ends_by_itself(job, work):
    folder = job("one")
    process = work(folder, "report_steps('counting', done=3, total=9); time.sleep(0.5)")
    until(state_is(folder, "running"))
    status = folder.status()
    assert (status.pid, status.steps.doing, status.steps.done, status.steps.total) == (process.pid, "counting", 3, 9)
    assert status.memory_bytes > 1e6
    assert process.wait() == 0
    assert (folder.status().state, folder.status().message) == ("finished", "")


def test_the_heart_beats_while_a_step_is_long(job, work):
    folder = job("one")
    work(folder, SLEEP)
    until(state_is(folder, "starting"))
    first = folder.status()
    until(lambda: folder.status().heartbeat > first.heartbeat + 1.5, within=10)
    assert folder.status().since == first.since


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise RuntimeError('broken thing')", "RuntimeError: broken thing"),
        ("from iisan_core.errors import IisanError; raise IisanError('no luck; try again')", "no luck; try again"),
        (
            "raise OSError(28, 'No space left on device', 'f')",
            "the disk is full ([Errno 28] No space left on device: 'f'); free some",
        ),
    ],
)
def test_a_failure_is_said_in_words(job, work, program, message):
    folder = job("one")
    assert work(folder, program).wait() == 1
    assert folder.status().state == "failed"
    assert folder.status().message.startswith(message)
    assert "Traceback" in "\n".join(folder.log_tail())


def test_sigterm_and_the_stop_file_end_a_job_as_stopped(job, work):
    for name, stop in (("term", lambda f, p: p.send_signal(signal.SIGTERM)), ("file", lambda f, p: f.ask_to_stop())):
        folder = job(name)
        process = work(folder, SLEEP)
        until(state_is(folder, "starting"))
        stop(folder, process)
        process.wait(timeout=20)
        assert (folder.status().state, folder.status().message) == ("stopped", "stopped on request")


def test_two_processes_never_do_the_same_job(job, work):
    folder = job("one")
    first = work(folder, SLEEP)
    until(state_is(folder, "starting"))
    second = work(folder, SLEEP)
    assert second.wait(timeout=30) == 1
    assert f"is being done by process {first.pid}; stop it first with `iisan stop`" in "\n".join(folder.log_tail())
    assert (folder.status().state, folder.status().pid) == ("starting", first.pid)


def test_a_killed_job_is_interrupted_and_can_be_done_again(job, work):
    folder = job("one")
    process = work(folder, SLEEP)
    until(state_is(folder, "starting"))
    process.kill()
    until(state_is(folder, "interrupted"))  # also while it is a zombie that nobody has waited for
    assert (
        folder.status().message
        == f"its process {process.pid} vanished without a word: killed, or the machine went down"
    )
    assert work(folder, "pass").wait() == 0
    assert folder.status().state == "finished"


def test_a_kill_by_the_kernel_for_lack_of_memory_is_named(job, work, monkeypatch):
    folder = job("one")
    process = work(folder, SLEEP)
    until(state_is(folder, "starting"))
    process.kill()
    before = folder.status().oom_kills
    monkeypatch.setattr("iisan_core.runs.status.oom_kills", lambda: before + 1)
    until(state_is(folder, "interrupted"))
    assert "the kernel ended 1 process for lack of memory, most likely this one" in folder.status().message


def test_a_job_within_a_job_speaks_for_itself(job):
    outer, inner = job("outer"), job("inner")
    with pytest.raises(IisanError), at_work(outer, device=None), at_work(inner, device=None):
        report_steps("inner work", done=1, total=2)
        raise IisanError("both end by this")
    assert {outer.status().state, inner.status().state} == {"failed"}
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    report_steps("nobody's work", done=1, total=2)  # no job, nothing to say
    assert inner.status().message == "both end by this"


def test_what_a_job_was_refused_is_its_message(job):
    folder = job("one")
    with pytest.raises(RefusedError), at_work(folder, device=None):
        raise RefusedError("no such thing; choose another")
    assert folder.status().message == "no such thing; choose another"


def test_the_last_words_find_room_on_a_full_disk(job, monkeypatch):
    folder = job("one")
    folder.write_status("running", message="x" * 50)

    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("iisan_core.files.write_text", full)
    folder.write_status("failed", message="the disk is full")
    monkeypatch.undo()
    assert (folder.status().state, folder.status().message) == ("failed", "the disk is full")


def test_words_of_errors():
    assert in_words(OSError(2, "No such file", "f")).startswith("FileNotFoundError")
    assert in_words(KeyError("x")) == "KeyError: 'x'"


def test_waiting_costs_no_torch(job, work):
    folder = job("one")
    assert work(folder, "assert 'torch' not in sys.modules", device="cpu").wait() == 0
