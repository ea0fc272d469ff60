"""What a job's folder may ask for: a folder that somebody else made decides nothing that widens trust.

`iisan resume` runs the verb that `job.json` names. Whoever made the folder wrote that verb, and may not be who resumes.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from iisan_core.config.places import default_root, workspace_of
from iisan_core.errors import RefusedError
from iisan_core.runs.job_folder import CARD, JobCard, JobFolder

PROGRAMS = "--trust-remote-code"
"""The one flag that lets programs of others run; taken from a command line, never from a file."""

WORKBENCH_VERBS = ("demo", "extract")
"""What the workbench's own pages start; of others' folders nothing else is done."""


def require_trusted(job: JobFolder, *, programs: bool = False) -> JobCard:
    """The card of a job that may be done; raises `RefusedError` where it asks for more than a file may.

    `programs`: `--trust-remote-code` stands on the command line of whoever resumes it.
    """
    card = job.card()
    if asks_for_programs(card.argv) and not programs:
        raise RefusedError(
            f"{job.path / CARD} asks for {PROGRAMS}, and no file may: read the programs that it would run, and if you "
            f"trust them, say so yourself with `iisan resume {shlex.quote(str(job.path))} {PROGRAMS}`"
        )
    return card if job.is_ours() else _kept_inside(job, card)


def asks_for_programs(argv: Sequence[str]) -> bool:
    """Whether arguments let programs of others run."""
    return any(argument.startswith("--trust") for argument in argv)


def _kept_inside(job: JobFolder, card: JobCard) -> JobCard:
    """Of a folder that was not made here: the workbench's own verbs, in the workspace and with nothing outside it."""
    if not card.argv or card.argv[0] not in WORKBENCH_VERBS:
        raise _refusal(job, card, f"it asks for `iisan {' '.join(card.argv[:1])}`")
    root = workspace_of(job.path / CARD) or default_root().resolve()
    if card.workspace.resolve() != root:
        raise _refusal(job, card, f"it names the workspace {card.workspace}")
    for argument in card.argv[1:]:
        value = argument.partition("=")[2] if argument.startswith("-") else argument
        if value and _leaves(value, root):
            raise _refusal(job, card, f"it names {value}, outside of the workspace {root}")
    return card.model_copy(update={"folder": root})


def _leaves(value: str, root: Path) -> bool:
    """Whether an argument is a place outside: by its form, or because something lies there."""
    try:
        place = (root / Path(value).expanduser()).resolve()
        is_path = Path(value).is_absolute() or ".." in Path(value).parts or value.startswith("~") or place.exists()
    except (OSError, ValueError, RuntimeError):  # no path can be called so
        return True
    return is_path and not place.is_relative_to(root)


def _refusal(job: JobFolder, card: JobCard, why: str) -> RefusedError:
    return RefusedError(
        f"{job.path} was not made by you on this machine, and {why}; if that is what you want, type it yourself: "
        + shlex.join(["iisan", *card.argv])
    )
