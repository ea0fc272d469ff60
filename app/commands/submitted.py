"""What is submitted to a cluster: the verb understood as the shell would, and the room that it is to be given."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import iisan_core
from app.commands.train import config_from_file, config_of, free_path
from iisan_core.cache.manifest import CacheSettings
from iisan_core.config.schema import RunConfig, validated
from iisan_core.errors import RefusedError

if TYPE_CHECKING:
    from app.jobs.clusters.job import ClusterJob
    from app.planning.needs import Needs

VERBS = ("train", "extract")
PLACES = ("dataset", "cache", "run", "config", "start_from")
"""Parameters of these verbs that are paths."""
MODALITIES = ("image", "text", "video", "audio")
CPUS = 4
"""Of a process, where nothing else is said."""
ROUND_SECONDS = 600
"""A time by the plan is a multiple of it."""
TIME = re.compile(r"(\d+)([mhd])")
UNITS = {"m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Asked:
    """What the user asks the cluster for; None and empty where the plan decides."""

    time: str | None
    memory: int | None
    """GiB on each node."""
    gpus: int | None
    """On each node."""
    gpu_kind: str
    nodes: int
    cpus: int | None
    """On each node."""


@dataclass(frozen=True)
class Work:
    """A command that was understood."""

    arguments: tuple[str, ...]
    """As typed, and such that the same command goes on with what it has begun."""
    about: str
    """For the name of the job: the run, or the dataset."""
    places: frozenset[Path]
    device: str
    given: dict[str, Any]
    """Its parameters."""
    config: RunConfig | None = None
    """Of a training."""


def job_of(ctx: typer.Context, command: Sequence[str], asked: Asked) -> ClusterJob:
    """The job that does `command`, one of `VERBS` with its arguments, in the room that is asked for or planned.

    Raises `RefusedError` for what the verb would refuse, and for GPUs that are not one a process.
    """
    from app.jobs.clusters.job import GIB, ClusterJob, job_name

    seconds = _seconds(asked.time) if asked.time else 0
    work = _understood(ctx, command)
    processes, gpus = _shares(work, asked)
    work = _with_processes(work, asked.nodes * processes)
    needs = None if seconds and asked.memory else _needs(work, processes=asked.nodes * processes)
    if needs is not None and not seconds:
        seconds = math.ceil(needs.seconds / ROUND_SECONDS) * ROUND_SECONDS
    memory = GIB * (asked.memory or 0) if needs is None or asked.memory else processes * needs.memory_bytes
    return ClusterJob(
        name=job_name(work.arguments[0], work.about),
        command=("iisan", *work.arguments),
        places=work.places,
        folder=Path.cwd(),
        workspace=iisan_core.Workspace.default().root.resolve(),
        nodes=asked.nodes,
        processes=processes,
        starts_itself=work.config is not None,
        gpus=gpus,
        gpu_kind=asked.gpu_kind,
        cpus=asked.cpus or CPUS * processes,
        memory_bytes=memory,
        seconds=seconds,
        said=needs.said if needs else (),
    )


def _understood(ctx: typer.Context, command: Sequence[str]) -> Work:
    verb, *rest = command
    if verb not in VERBS:
        raise RefusedError(f"`{shlex.join(command)}` cannot be submitted; `train …` and `extract …` can")
    iisan: Any = ctx.find_root().command
    given = iisan.get_command(ctx, verb).make_context(verb, list(rest), parent=ctx.find_root()).params
    places = {Path(place) for name in PLACES if given.get(name) for place in _listed(given[name])}
    if verb == "train":
        return _training(rest, given, places)
    folders = {Path(name) for name in _backbones(given).values() if Path(name).is_dir()}
    about = iisan_core.Dataset.load(given["dataset"]).name
    return Work((verb, *rest), about, frozenset(places | folders), given["device"], given)


def _training(rest: Sequence[str], given: dict[str, Any], places: set[Path]) -> Work:
    """A training into a run folder that has a name, so that it is found again."""
    settings = list(given["setting"] or [])
    if given["config"]:
        config = config_from_file(Path(given["config"]), settings)
    elif given["dataset"]:
        caches = [Path(cache) for cache in given["cache"] or []]
        config = config_of(Path(given["dataset"]), caches, given["preset"] or "default", settings)
    else:
        raise RefusedError("nothing to train on: give a dataset folder, or a configuration with --config")
    arguments = ["train", *rest]
    run = Path(given["run"] or free_path(iisan_core.Workspace.default().runs, config))
    arguments += [] if given["run"] else ["--run", str(run)]
    arguments += [] if given["go_on"] else ["--resume"]
    return Work(tuple(arguments), run.name, frozenset({*places, run}), config.training.device, given, config)


def _shares(work: Work, asked: Asked) -> tuple[int, int]:
    """Processes, and GPUs, on each node."""
    trains = work.config is not None and work.config.baseline is None and not work.config.members
    wanted = work.config.training.processes if work.config is not None else 1
    gpus = asked.gpus if trains or work.config is None else 0
    if gpus is None and work.device == "cpu":
        gpus = 0
    if gpus and work.device == "cpu":
        raise RefusedError(f"--gpus is {gpus}, and the command computes on the cpu; leave one of them out")
    processes = -(-wanted // asked.nodes) if wanted > 1 else max(1, gpus or 1)
    if wanted > 1 and (processes * asked.nodes != wanted or gpus not in (None, 0, processes)):
        raise RefusedError(
            f"training.processes is {wanted} on {asked.nodes} nodes with {processes if gpus is None else gpus} GPUs "
            "each; give as many on each node, with one GPU a process or none"
        )
    return processes, processes if gpus is None else gpus


def _with_processes(work: Work, processes: int) -> Work:
    """A training that is to have more processes is told so."""
    if work.config is None or work.config.training.processes == processes:
        return work
    return replace(work, arguments=(*work.arguments, "--set", f"training.processes={processes}"))


def _needs(work: Work, *, processes: int) -> Needs:
    from app.planning.needs import extraction_needs, training_needs

    if work.config is not None:
        return training_needs(work.config)
    given = work.given
    fields = {name: given[name] for name in CacheSettings.model_fields}
    return extraction_needs(
        iisan_core.Dataset.load(given["dataset"]),
        _backbones(given),
        validated(CacheSettings, fields, where="the extraction's settings"),
        arithmetic=given["precision"],
        batch_size=given["batch_size"],
        device=work.device,
        processes=processes,
    )


def _backbones(given: dict[str, Any]) -> dict[str, str]:
    from app.commands.options import named_backbones

    return named_backbones({name: given[name] for name in MODALITIES}, verb="extract")


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _seconds(time: str) -> int:
    found = TIME.fullmatch(time)
    if found is None or not int(found[1]):
        raise RefusedError(f"--time {time!r} is no time; give minutes, hours or days, such as 90m, 12h or 2d")
    return int(found[1]) * UNITS[found[2]]
