"""`iisan submit`: a training or an extraction as a job file for a cluster, filled from its plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from app.commands.console import note
from app.commands.submitted import CPUS, Asked, job_of

submit = typer.Typer(
    no_args_is_help=True,
    help="Hand a training or an extraction to a cluster: a job file filled from its plan, printed or, with --go, sent.",
)
AS_TYPED = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""What follows the first argument belongs to the command, options and all."""

Command = Annotated[list[str], typer.Argument(help="`train …` or `extract …`, as you would type it after `iisan`.")]
Time = Annotated[
    str | None, typer.Option(help="How long it may take at a time, such as 90m, 12h or 2d; unset: by the plan.")
]
Memory = Annotated[int | None, typer.Option(min=1, help="GiB of RAM on each node; unset: by the plan.")]
Gpus = Annotated[
    int | None, typer.Option(min=0, help="GPUs on each node, one a process; unset: one a process unless on the CPU.")
]
GpuKind = Annotated[str, typer.Option(help="Which GPU, by the cluster's own name for it; unset: any.")]
Nodes = Annotated[int, typer.Option(min=1, help="Machines.")]
Cpus = Annotated[int | None, typer.Option(min=1, help=f"Processors on each node; unset: {CPUS} a process.")]
Image = Annotated[str, typer.Option(help="A container image that has `iisan` in it.")]
Go = Annotated[bool, typer.Option("--go", help="Hand it over, instead of printing it.")]


@submit.command(context_settings=AS_TYPED)
def slurm(
    ctx: typer.Context,
    command: Command,
    time: Time = None,
    memory: Memory = None,
    gpus: Gpus = None,
    gpu_kind: GpuKind = "",
    nodes: Nodes = 1,
    cpus: Cpus = None,
    partition: Annotated[str, typer.Option(help="Slurm's partition; unset: its default.")] = "",
    account: Annotated[str, typer.Option(help="Slurm's account; unset: its default.")] = "",
    go: Go = False,
) -> None:
    """Print a script for sbatch; before its time is over the job stops at its last epoch, and is queued again.

    Nodes share the folders as they are here, and find `iisan` where the terminal does that submits.

    Example: iisan submit slurm --time 12h -- train workspace/datasets/mine --run workspace/runs/mine
    """
    from app.jobs.clusters import slurm as cluster

    job = job_of(ctx, command, Asked(time, memory, gpus, gpu_kind, nodes, cpus))
    _say_or_go(cluster.SUBMIT, cluster.job_file(job, partition=partition, account=account), go=go)


@submit.command(context_settings=AS_TYPED)
def kubernetes(
    ctx: typer.Context,
    command: Command,
    image: Image,
    time: Time = None,
    memory: Memory = None,
    gpus: Gpus = None,
    gpu_kind: GpuKind = "",
    nodes: Nodes = 1,
    cpus: Cpus = None,
    claim: Annotated[str, typer.Option(help="The volume claim on which the workspace lies.")] = "iisan-workspace",
    namespace: Annotated[str, typer.Option(help="Kubernetes' namespace; unset: the current one.")] = "",
    go: Go = False,
) -> None:
    """Print a Job for kubectl; a pod that is lost is replaced by one that goes on from the last epoch.

    The workspace is mounted from a volume claim, on which it must lie as it does here.

    Example: iisan submit kubernetes --image registry.example/iisan -- train workspace/datasets/mine --preset best
    """
    from app.jobs.clusters import kubernetes as cluster

    job = job_of(ctx, command, Asked(time, memory, gpus, gpu_kind, nodes, cpus))
    _say_or_go(cluster.SUBMIT, cluster.job_file(job, image=image, claim=claim, namespace=namespace), go=go)


@submit.command(context_settings=AS_TYPED)
def skypilot(
    ctx: typer.Context,
    command: Command,
    image: Image,
    bucket: Annotated[str, typer.Option(help="Where the workspace lies, such as s3://mine or gs://mine.")],
    memory: Memory = None,
    gpus: Gpus = None,
    gpu_kind: GpuKind = "",
    nodes: Nodes = 1,
    cpus: Cpus = None,
    go: Go = False,
) -> None:
    """Print a task for `sky jobs launch`; a machine that is taken away is replaced, and the last epoch gone on from.

    The workspace is mounted from a bucket, in which it must lie as it does here.

    Example: iisan submit skypilot --image registry.example/iisan --bucket s3://mine --gpu-kind L4 -- extract
    workspace/datasets/mine --text minilm
    """
    from app.jobs.clusters import skypilot as cluster

    job = job_of(ctx, command, Asked(None, memory, gpus, gpu_kind, nodes, cpus))
    _say_or_go(cluster.SUBMIT, cluster.job_file(job, image=image, bucket=bucket), go=go)


def _say_or_go(command: Sequence[str], text: str, *, go: bool) -> None:
    from app.jobs.clusters.job import hand_over

    if go:
        note(hand_over(command, text))
    else:
        typer.echo(text, nl=False)
