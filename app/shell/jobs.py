"""`iisan resume`, `stop` and `jobs`: what goes on, or went, in detached processes and other terminals.

Nothing here waits for torch before it is needed: a job that is queued costs little.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from app.jobs import process
from app.jobs.listing import Listed, jobs_in, open_folder
from app.jobs.work import at_work
from app.shell.output import JsonFlag, note, print_json, print_table
from app.shell.waiting import NoWait, told_that_it_waits
from iisan_core.errors import IisanError
from iisan_core.runs.job_folder import JobFolder
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import VARIABLE, Workspace

Place = Annotated[Path, typer.Argument(help="A run folder, or a job folder of the workspace.")]


def resume(ctx: typer.Context, run: Place, no_wait: NoWait = False, as_json: JsonFlag = False) -> None:
    """Go on with a run that was stopped or interrupted, from its last finished epoch, or do a job again.

    Waits as `queued` while another training or job has the device.

    Example: iisan resume workspace/runs/mine
    """
    folder = open_folder(run)
    if isinstance(folder, RunFolder):
        _resume_run(folder, wait=not no_wait, as_json=as_json)
    else:
        _do(folder, shell=ctx.find_root().command, wait=not no_wait)


def stop(
    run: Place,
    patience: Annotated[float, typer.Option(min=0, help="Seconds before the next, harder means.")] = 10.0,
    as_json: JsonFlag = False,
) -> None:
    """Stop a run or job in whatever phase it is: by its stop file, then SIGTERM, then SIGKILL.

    A run's checkpoint is kept; `iisan resume` goes on from there.

    Example: iisan stop workspace/runs/mine
    """
    folder = open_folder(run)
    for stage in process.stop(folder, patience=patience):
        note(stage.sentence if stage.action == "ended" else f"{folder.name}: {stage.sentence}")
    if as_json:
        print_json(_facts(Listed(folder, folder.status())))


def jobs(
    everything: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """List what is at work or waits in the workspace; with --all, also what has ended.

    Example: iisan jobs --all
    """
    found = [each for each in jobs_in(Workspace.default()) if everything or each.active or each.problem]
    facts = [_facts(each) for each in found]
    if as_json:
        print_json(facts)
    elif facts:
        print_table(list(facts[0]), [tuple(each.values()) for each in facts])
    else:
        note("nothing is at work or waits here; `iisan jobs --all` lists what has ended")


def _resume_run(run: RunFolder, *, wait: bool, as_json: bool) -> None:
    with at_work(run, device=run.config().training.device, wait=wait, on_wait=told_that_it_waits):
        from app.shell.train import show_results, train_on

        train_on(run)
    show_results(run, as_json=as_json)


def _do(job: JobFolder, *, shell: Any, wait: bool) -> None:
    """Run a job's verb in this process, where and as it was meant."""
    card = job.card()
    os.environ[VARIABLE] = str(card.workspace)
    os.chdir(card.folder)
    with at_work(job, device=card.device, wait=wait, on_wait=told_that_it_waits):
        code = shell.main(args=list(card.argv), prog_name="iisan", standalone_mode=False)
        if isinstance(code, int) and code:
            raise IisanError(f"`{job.command()}` ended with exit code {code}; its output says why")


def _facts(job: Listed) -> dict[str, object]:
    status = job.status
    return {
        "job": job.folder.name,
        "kind": "run" if job.is_run else "job",
        "state": status.state if status else "broken",
        "device": status.device if status else "",
        "pid": str(status.pid) if status and status.active else "",
        "at": _how_far(job),
        "message": job.problem or (status.message if status else ""),
    }


def _how_far(job: Listed) -> str:
    status = job.status
    if status is None:
        return ""
    if status.epochs:
        return f"epoch {status.epoch} of {status.epochs}"
    return f"{status.steps.doing} {status.steps.done} of {status.steps.total}" if status.steps else ""
