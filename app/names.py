"""Names of new things: they become folders, so they stay within the workspace."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

from iisan_core.errors import RefusedError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""Without spaces: a run is named in commands. Longer, for what it was trained on and a number stand in it."""
STEM = 60
"""Letters of a proposed name before its number."""


def new_place(shelf: Path, name: str, *, what: str) -> Path:
    """The folder `name` on a shelf of the workspace; raises `RefusedError` for a name that is none, or taken."""
    name = name.strip()
    if not NAME.fullmatch(name) or ".." in name or name.endswith("."):
        raise RefusedError(
            f"{name!r} cannot name a {what}; use up to 64 letters, digits, spaces, dots, dashes and underscores, "
            "beginning with a letter or digit, without slashes or two dots in a row"
        )
    place = shelf / name
    if place.exists():
        raise RefusedError(f"there is a {what} {name!r} already; choose another name")
    return place


def fault_of_run_name(runs: Path, name: str) -> str:
    """Why a run cannot have this name; nothing if it can."""
    if not RUN_NAME.fullmatch(name):
        return "letters, digits, dots, dashes and underscores, at most 80, the first a letter or digit"
    return f"{name} exists already; choose another name" if (runs / name).exists() else ""


def free_name(shelf: Path, stem: str) -> str:
    """`stem-1`, or the first after it that is free on the shelf; what no name may hold becomes a dash."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:STEM] or "run"
    return next(name for number in count(1) if not (shelf / (name := f"{stem}-{number}")).exists())


def tame_file_name(name: str) -> str:
    """The last part of an uploaded file's name, with nothing in it that could lead elsewhere."""
    last = re.split(r"[/\\]", name)[-1]
    return re.sub(r"[^A-Za-z0-9._-]", "_", last).lstrip(".") or "file"
