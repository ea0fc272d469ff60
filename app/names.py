"""Names that visitors give to new things: they become folders, so they stay within the workspace."""

from __future__ import annotations

import re
from pathlib import Path

from iisan_core.errors import RefusedError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")


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


def tame_file_name(name: str) -> str:
    """The last part of an uploaded file's name, with nothing in it that could lead elsewhere."""
    last = re.split(r"[/\\]", name)[-1]
    return re.sub(r"[^A-Za-z0-9._-]", "_", last).lstrip(".") or "file"
