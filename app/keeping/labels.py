"""`labels.json` in the folder of a run, a dataset or a job: what people say of it. Nothing that computes reads it."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path

from pydantic import Field, field_validator

from iisan_core.config.schema import Strict, validated
from iisan_core.errors import RefusedError
from iisan_core.files import read_json, write_json

LABELS = "labels.json"
LONGEST_TAG, LONGEST_NOTE = 40, 4000


class Labels(Strict):
    """What people say about a folder; all of it is optional."""

    tags: tuple[str, ...] = ()
    note: str = Field(default="", max_length=LONGEST_NOTE)
    archived: bool = False
    """Kept, but out of the way: lists leave it out unless asked."""
    dismissed: float = 0.0
    """When somebody said that they have seen how it ended, in seconds since 1970."""

    @field_validator("tags")
    @classmethod
    def _are_words(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        words = [" ".join(tag.split()) for tag in tags]
        if long := [word for word in words if len(word) > LONGEST_TAG]:
            raise ValueError(f"the tag {long[0][:LONGEST_TAG]!r}… is longer than {LONGEST_TAG} letters; shorten it")
        return tuple(dict.fromkeys(word for word in words if word))


NONE = Labels()


def labels_of(folder: Path) -> Labels:
    """The labels of a folder; none where there are none, or none that can be read."""
    try:
        found = (folder / LABELS).stat()
    except OSError:
        return NONE
    return _read(folder / LABELS, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4096)
def _read(path: Path, changed: int, size: int) -> Labels:
    try:
        return validated(Labels, read_json(path, what="labels"), where=str(path))
    except (RefusedError, OSError):  # a note that is lost shall not take the run with it
        return NONE


def label(
    folder: Path,
    *,
    tags: tuple[str, ...] | None = None,
    note: str | None = None,
    archived: bool | None = None,
    dismissed: float | None = None,
) -> Labels:
    """Change what is given of a folder's labels; raises `RefusedError` for a tag or note that is too long."""
    given = {"tags": tags, "note": note, "archived": archived, "dismissed": dismissed}
    values = labels_of(folder).model_dump() | {name: value for name, value in given.items() if value is not None}
    changed = validated(Labels, values, where="the labels")
    write_json(folder / LABELS, changed.model_dump(mode="json"))
    return changed


def dismiss(folder: Path) -> None:
    """Note that somebody has seen how the folder's work ended."""
    label(folder, dismissed=time.time())
