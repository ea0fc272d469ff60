"""Detached processes that outlive whoever started them: start, queue, stop, find again.

A job is a folder: a run folder, or under `workspace/jobs` one for anything else. Whoever watches reads the folder;
nobody holds a handle.

    job = start(["extract", "data", "--text", "minilm"], workspace=Workspace.default(), device="auto")
    run = start_run(config, path, command="iisan train …")
    start_again(run)                      # resume what was stopped, interrupted, failed or never begun
    job.status()                          # state, pid, heartbeat, epoch or steps, memory
    job.log_tail(20)
    for stage in stop(job): …             # asked, terminated, killed, ended
    stop_detached(run)                    # the same from a process of its own; `stop_stages(run)` tells how far it is
    jobs_in(workspace), runs_in(workspace)    # `Listed`: folder with status, or with its problem

The process at work wraps its work in `at_work(folder, device=…)`.
"""

from __future__ import annotations

from app.jobs.devices import Gpu, device_key, gpus
from app.jobs.listing import Listed, jobs_in, open_folder, runs_in
from app.jobs.process import StopStage, start, start_again, start_run, stop, stop_detached, stop_stages
from app.jobs.queue import DeviceQueue, turn
from app.jobs.work import at_work, report_steps
from iisan_core.runs.job_folder import JobCard, JobFolder
from iisan_core.runs.status import Status, Steps
from iisan_core.runs.worker import heartbeat, only_worker

__all__ = [
    "DeviceQueue",
    "Gpu",
    "JobCard",
    "JobFolder",
    "Listed",
    "Status",
    "Steps",
    "StopStage",
    "at_work",
    "device_key",
    "gpus",
    "heartbeat",
    "jobs_in",
    "only_worker",
    "open_folder",
    "report_steps",
    "runs_in",
    "start",
    "start_again",
    "start_run",
    "stop",
    "stop_detached",
    "stop_stages",
    "turn",
]
