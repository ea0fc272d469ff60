"""A signal ends a verb cleanly, with a line that says what was kept and how it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from app.cli import main
from app.jobs.stopping import SIGNALS, StoppedError, farewell, stoppable
from iisan_core.runs.job_folder import JobCard, JobFolder
from iisan_core.runs.workspace import Workspace


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_each_signal_is_one_interruption_and_then_the_old_handlers_are_back(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in SIGNALS}
    with pytest.raises(StoppedError, match=f"stopped by {number.name}") as stopped, stoppable():
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert stopped.value.exit_code == 128 + number
    assert isinstance(stopped.value, KeyboardInterrupt)
    assert before == {each: signal.getsignal(each) for each in SIGNALS}


def test_while_one_is_worked_off_others_change_nothing() -> None:
    with pytest.raises(StoppedError, match="SIGTERM"), stoppable():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGUSR1)
            done = True
    assert done


def test_in_other_threads_nothing_is_done() -> None:
    passed: list[bool] = []

    def within() -> None:
        with stoppable():
            passed.append(True)

    thread = threading.Thread(target=within)
    thread.start()
    thread.join()
    assert passed == [True]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_the_shell_says_what_was_kept_and_how_it_goes_on(number: signal.Signals, tmp_path: Path) -> None:
    program = (
        "import sys, time, app.jobs.stopping, app.commands.jobs as module\n"
        "def finish(run: str) -> None:\n"
        "    print('at work', flush=True)\n"
        "    time.sleep(60)\n"
        "module.finish = finish\n"
        "sys.argv = ['iisan', 'finish', 'x']\n"
        "from app.cli import main; main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert said == f"iisan: stopped by {number.name}; the run is as it was, close it with the same command\n"


def test_a_job_that_is_stopped_while_its_verb_works_is_stopped_not_failed(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def finish(run: str) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(5)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("app.commands.jobs.finish", finish)
    card = JobCard(argv=("finish", "x"), device=None, workspace=workspace.root, folder=tmp_path)
    job = JobFolder.create_job(workspace.jobs / "one", card=card)
    monkeypatch.setattr(sys, "argv", ["iisan", "resume", str(job.path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 128 + signal.SIGUSR1
    assert job.status().state == "stopped"
    assert "stopped by SIGUSR1; what is finished is kept" in capsys.readouterr().err


def test_what_is_said_fits_the_verb() -> None:
    assert farewell(StoppedError(signal.SIGTERM), verb="train").endswith("go on with `iisan resume`")
    assert farewell(KeyboardInterrupt(), verb="doctor") == "interrupted"
