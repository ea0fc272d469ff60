"""A job for a cluster: what it runs and what it needs, the same for all of them."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from iisan_core.errors import IisanError, RefusedError

MOUNT = PurePosixPath("/workspace")
"""Where a container sees the workspace."""
PORT = 29500
"""By which torchrun's processes find each other, as torchrun itself has it."""
GIB = 1 << 30
NAME_LENGTH = 52
"""Kubernetes allows 63 characters for a pod, whose number and mark follow the name."""
LEFT = 128 + signal.SIGUSR1
"""Exit code of a command that was asked to leave its machine, and has: the same command goes on."""
FILE = "{file}"
"""In a command, where the name of the job file belongs; without it the file is read from standard input."""


@dataclass(frozen=True)
class ClusterJob:
    """One command on one or several nodes, with what each of these must have."""

    name: str
    """Small letters, digits and dashes: see `job_name`."""
    command: tuple[str, ...]
    """`iisan`, a verb and its arguments, such that the same command goes on with what it did not finish."""
    places: frozenset[Path]
    """Those of the arguments that are paths."""
    folder: Path
    """From which relative paths are meant; absolute."""
    workspace: Path
    """Absolute."""
    nodes: int
    processes: int
    """On each node."""
    starts_itself: bool
    """Whether the command starts the processes of a node itself."""
    gpus: int
    """On each node."""
    gpu_kind: str
    """As the cluster calls it; empty: any."""
    cpus: int
    """On each node."""
    memory_bytes: int
    """On each node."""
    seconds: int
    said: tuple[str, ...] = ()
    """Where the figures come from, a sentence each."""

    @property
    def launched(self) -> bool:
        """Whether something else than the command must start its processes."""
        return self.nodes > 1 or (self.processes > 1 and not self.starts_itself)

    @property
    def gibibytes(self) -> int:
        """Memory of a node in whole GiB."""
        return -(-self.memory_bytes // GIB)

    @property
    def threads(self) -> int:
        """Processors of a process."""
        return max(1, self.cpus // self.processes)

    def mounted_command(self) -> list[str]:
        """The command with paths as a container sees them; raises `RefusedError` for one outside of the workspace."""
        return [self._mounted(argument) for argument in self.command]

    def torchrun(self, *more: str) -> list[str]:
        """torchrun with the arguments that say which of the nodes this is, before the command."""
        return ["torchrun", "--nnodes", str(self.nodes), "--nproc-per-node", str(self.processes), *more,
                "--no-python", "--", *self.mounted_command()]  # fmt: skip

    def _mounted(self, argument: str) -> str:
        option, equals, value = argument.partition("=")
        if not (option.startswith("--") and equals):
            option, equals, value = "", "", argument
        if not value or Path(value) not in self.places:
            return argument
        place = (self.folder / value).resolve()
        if not place.is_relative_to(self.workspace):
            raise RefusedError(
                f"{value} is not in the workspace {self.workspace}, which is all that the job will see; bring it "
                "there, or set IISAN_WORKSPACE to the workspace that holds it"
            )
        return f"{option}{equals}{MOUNT / place.relative_to(self.workspace)}"


def job_name(*parts: str) -> str:
    """A name that all clusters take: small letters, digits and dashes, a letter first.

    Example: `job_name("train", "My run")` is `iisan-train-my-run`.
    """
    words = re.findall(r"[a-z0-9]+", " ".join(("iisan", *parts)).lower())
    return "-".join(words)[:NAME_LENGTH].rstrip("-")


def hand_over(command: Sequence[str], text: str) -> str:
    """Give a job file to the program that takes it; returns what that answers.

    Raises `RefusedError` where the program is not here, `IisanError` with its words where it will not have the file.
    """
    if shutil.which(command[0]) is None:
        raise RefusedError(
            f"{command[0]} is not here, so there is nobody to hand the job to; without --go the job file is printed, "
            "to be brought where it is"
        )
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        words = [file.name if word == FILE else word for word in command]
        done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise IisanError(f"`{shlex.join(words)}` will not have the job: {said}")
    return done.stdout.strip()
