"""A script for `sbatch`: it runs the command, and is queued again where time ran out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from app.jobs.clusters.job import LEFT, ClusterJob
from app.jobs.queue import RUNTIME
from iisan_core.config.places import VARIABLE
from iisan_core.errors import RefusedError

SUBMIT = ("sbatch",)

GRACE_SECONDS = 180
"""Before the end of its time a job is asked to stop; a training does so after its step, however long that takes."""

WORD = re.compile(r"[\w.:,@+/-]+")
"""What the name of a partition, an account or a kind of GPU is made of."""

PLACES = 'export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS; exec "$@"'
"""Tells each process its place among all, as torchrun would."""


def job_file(job: ClusterJob, *, partition: str = "", account: str = "") -> str:
    """The script; the nodes share the folders that the job names. Raises `RefusedError` for a name that none has."""
    lines = ["#!/bin/bash", *_directives(job, partition=partition, account=account), ""]
    lines += [f"# {sentence}" for sentence in job.said]
    lines += ["", "set -u", f"cd -- {shlex.quote(str(job.folder))} || exit", *_variables(job), "", *_work(job)]
    return "\n".join(lines) + "\n"


def _directives(job: ClusterJob, *, partition: str, account: str) -> Iterator[str]:
    tasks = job.processes if job.launched else 1
    kind = f"{_word(job.gpu_kind, '--gpu-kind')}:" if job.gpu_kind else ""
    values = {
        "job-name": job.name,
        "nodes": job.nodes,
        "ntasks-per-node": tasks,
        "cpus-per-task": job.cpus // tasks,
        "mem": f"{job.gibibytes}G",
        "time": _time(job.seconds),
        "signal": f"B:USR1@{GRACE_SECONDS}",
        "open-mode": "append",
    }
    if job.gpus:
        values["gpus-per-node"] = f"{kind}{job.gpus}"
    for option, value in (("partition", partition), ("account", account)):
        if value:
            values[option] = _word(value, f"--{option}")
    yield from (f"#SBATCH --{option}={value}" for option, value in values.items())
    yield "#SBATCH --requeue"


def _variables(job: ClusterJob) -> Iterator[str]:
    yield f"export {VARIABLE}={shlex.quote(str(job.workspace))}"
    yield f"export OMP_NUM_THREADS={job.threads}"
    yield "# Slurm gives out the devices here: no job waits for another's"
    yield f'export {RUNTIME}="${{TMPDIR:-/tmp}}/iisan-$SLURM_JOB_ID"'
    if job.launched:
        yield 'MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)'
        yield "MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))"
        yield "export MASTER_ADDR MASTER_PORT"


def _work(job: ClusterJob) -> Iterator[str]:
    command = shlex.join(job.command)
    if job.launched:  # by srun itself, which passes signals on to the processes that it starts
        srun = ("srun", "--kill-on-bad-exit=1", f"--cpus-per-task={job.cpus // job.processes}")
        command = shlex.join([*srun, "bash", "-c", PLACES, "place", *job.command])
    yield from (
        "# shortly before the time is over the command is asked to stop; then the job is queued again, to go on",
        "asked='' work=''",
        "trap 'asked=yes; kill -USR1 \"$work\"' USR1",
        f"{command} &",
        "work=$!",
        'while kill -0 "$work" 2> /dev/null; do wait "$work"; done',
        'wait "$work"',
        "code=$?",
        f'if [ -n "$asked" ] && [ $code -eq {LEFT} ]; then',
        '    scontrol requeue "$SLURM_JOB_ID" && exit 0',
        "fi",
        "exit $code",
    )


def _time(seconds: int) -> str:
    """As Slurm writes it: days-hours:minutes:seconds."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}-{hours:02}:{minutes:02}:{rest:02}"


def _word(value: str, option: str) -> str:
    if not WORD.fullmatch(value):
        raise RefusedError(f"{option} {value!r} is no name of Slurm's; use letters, digits and any of . : , @ + / _ -")
    return value
