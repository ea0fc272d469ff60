"""The trash of a workspace: what is thrown away lies there as it was, and can be put back where it came from."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, count
from pathlib import Path

from iisan_core.config.schema import Strict, validated
from iisan_core.errors import RefusedError
from iisan_core.files import read_json, write_json
from iisan_core.runs.workspace import Workspace

CARD = "trash.json"


class TrashCard(Strict):
    """`trash.json`: what lies in the folder beside it, by number."""

    kind: str
    name: str
    at: float
    """When it was thrown away, in seconds since 1970."""
    places: tuple[str, ...]
    """Where each came from, relative to the workspace; the first one is what was thrown away, the rest went with it."""


@dataclass(frozen=True)
class Trashed:
    """Something that was thrown away."""

    folder: Path
    card: TrashCard

    @property
    def disk_bytes(self) -> int:
        """What it takes."""
        return sum(path.lstat().st_size for path in self.folder.rglob("*") if path.is_file())


def trash_of(workspace: Workspace) -> Path:
    """The folder of what was thrown away."""
    return workspace.root / "trash"


def discard(workspace: Workspace, places: Sequence[Path], *, kind: str) -> Trashed:
    """Throw folders of the workspace away together, the first one giving its name; nothing is copied.

    Whoever asks makes sure that nobody is at work in them. Raises `RefusedError` for what lies elsewhere.
    """
    root = workspace.root.resolve()
    if outside := [place for place in places if not place.resolve().is_relative_to(root)]:
        raise RefusedError(f"{outside[0]} does not lie in the workspace {root}; remove it by hand")
    card = TrashCard(
        kind=kind,
        name=places[0].name,
        at=time.time(),
        places=tuple(place.resolve().relative_to(root).as_posix() for place in places),
    )
    folder = _free_place(trash_of(workspace), card)
    folder.mkdir(parents=True)
    write_json(folder / CARD, card.model_dump(mode="json"))
    for number, place in enumerate(places):
        place.rename(folder / str(number))
    return Trashed(folder, card)


def trashed(workspace: Workspace) -> list[Trashed]:
    """What lies in the trash, the last first; what cannot be read is left out."""
    found = []
    for path in trash_of(workspace).glob(f"*/{CARD}"):
        try:
            card = validated(TrashCard, read_json(path, what="card"), where=str(path))
        except (RefusedError, OSError):
            continue
        found.append(Trashed(path.parent, card))
    return sorted(found, key=lambda each: -each.card.at)


def restore(workspace: Workspace, thrown: Trashed) -> list[Path]:
    """Put everything back where it came from; returns these places.

    Raises `RefusedError` before anything is moved where one of them is taken by now.
    """
    pairs = [
        (thrown.folder / str(number), _inside(workspace, place)) for number, place in enumerate(thrown.card.places)
    ]
    pairs = [(inside, place) for inside, place in pairs if inside.exists()]  # the rest was put back before a crash
    if taken := [place for _, place in pairs if place.exists()]:
        raise RefusedError(f"there is another {thrown.card.kind} at {taken[0]} by now; rename it first")
    for inside, place in pairs:
        place.parent.mkdir(parents=True, exist_ok=True)
        inside.rename(place)
    shutil.rmtree(thrown.folder)
    return [place for _, place in pairs]


def destroy(thrown: Trashed) -> None:
    """Remove for good."""
    shutil.rmtree(thrown.folder)


def _inside(workspace: Workspace, place: str) -> Path:
    """Where a card says that something came from; raises `RefusedError` if that is outside of the workspace."""
    root = workspace.root.resolve()
    found = (root / place).resolve()
    if not found.is_relative_to(root) or found == root:
        raise RefusedError(f"the trash names {place}, which does not lie in the workspace; move it back by hand")
    return found


def _free_place(trash: Path, card: TrashCard) -> Path:
    stem = f"{datetime.fromtimestamp(card.at):%Y%m%d-%H%M%S}-{card.name}"
    names = chain([stem], (f"{stem}-{number}" for number in count(2)))
    return next(trash / name for name in names if not (trash / name).exists())
