"""`iisan resume`, `stop`, `finish` and `jobs`: what goes on, or went, in detached processes and other terminals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import iisan_core
from app.commands import together
from app.commands.console import JsonFlag, NoWait, note, print_json, print_table, told_that_it_waits
from app.commands.options import VARIABLE, RunPath
from app.commands.train import resume_with_bar, show_results
from iisan_core.errors import IisanError
from iisan_core.runs.job_folder import JobFolder
from iisan_core.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from app.jobs.listing import Listed

Place = Annotated[Path, typer.Argument(help="A run folder, or a job folder of the workspace.")]


def resume(
    ctx: typer.Context,
    run: Place,
    no_wait: NoWait = False,
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code", help="Let a job run programs of repositories, where it was started with this, too."
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Go on with a run that was stopped or interrupted, from its last finished epoch, or do a job again.

    Waits as `queued` while another training or job has the device. Of a job's folder that somebody else made, only
    what stays in the workspace is done.

    Example: iisan resume workspace/runs/mine
    """
    from app.jobs.listing import open_folder

    folder = open_folder(run)
    if isinstance(folder, RunFolder):
        together.start(folder.config().training.processes)
        resume_with_bar(folder, wait=not no_wait)
        if together.leads():
            show_results(folder, as_json=as_json)
    else:
        _do(folder, ctx.find_root().command, wait=not no_wait, programs=trust_remote_code)


def stop(
    run: Place,
    patience: Annotated[float, typer.Option(min=0, help="Seconds before the next, harder means.")] = 10.0,
    as_json: JsonFlag = False,
) -> None:
    """Stop a run or job in whatever phase it is: by its stop file, then SIGTERM, then SIGKILL.

    A run's checkpoint is kept; `iisan resume` goes on from there.

    Example: iisan stop workspace/runs/mine
    """
    from app.jobs.listing import Listed, open_folder
    from app.jobs.process import stop as stopped

    folder = open_folder(run)
    for stage in stopped(folder, patience=patience):
        note(stage.sentence if stage.action == "ended" else f"{folder.name}: {stage.sentence}")
    if as_json:
        print_json(_facts(Listed(folder, folder.status())))


def finish(run: RunPath, no_wait: NoWait = False, as_json: JsonFlag = False) -> None:
    """Close a run that was stopped, broke off or diverged at its best epoch: measured, and ready to recommend from.

    Example: iisan finish workspace/runs/mine
    """
    from app.jobs.work import at_work
    from iisan_core.runs.finish import check_unfinished
    from iisan_core.runs.finish import finish as closed

    folder = RunFolder.open(run)
    check_unfinished(folder)
    device = folder.config().training.device
    with at_work(folder, device=device, wait=not no_wait, on_wait=told_that_it_waits):
        closed(folder)
    note(folder.status().message)
    show_results(folder, as_json=as_json)


def jobs(
    everything: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """List what is at work or waits in the workspace; with --all, also what has ended.

    Example: iisan jobs --all
    """
    from app.jobs.listing import jobs_in

    found = [each for each in jobs_in(iisan_core.Workspace.default()) if everything or each.active or each.problem]
    facts = [_facts(each) for each in found]
    if as_json:
        print_json(facts)
    elif facts:
        print_table(list(facts[0]), [tuple(each.values()) for each in facts])
    else:
        note("nothing is at work or waits here; `iisan jobs --all` lists what has ended")


def _do(job: JobFolder, iisan: Any, *, wait: bool, programs: bool) -> None:
    """Run a job's verb in this process, where and as it was meant; `iisan` is the command that has the verbs."""
    from app.jobs.trust import require_trusted
    from app.jobs.work import at_work

    card = require_trusted(job, programs=programs)
    os.environ[VARIABLE] = str(card.workspace)
    os.chdir(card.folder)
    with at_work(job, device=card.device, wait=wait, on_wait=told_that_it_waits):
        code = iisan.within(card.argv)
        if code:
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
