"""`checksums.json`: what a folder's files were when they were written, held against them when they are first read.

A folder that has such a list – dataset, cache, run, study – gets every file into it that is replaced there in one step,
by whoever writes it. A file that rotted, was cut short, changed by hand or swapped with another folder's is then named
instead of used. Folders that were made before there were lists have none and are read unchecked, as is a folder whose
list somebody removes: it guards against accidents, not against whoever can write here.

A kill at any moment leaves the list and the file agreeing: before a file is replaced the list accepts both the old
bytes and the new ones, and after it the new ones alone. What was read and found whole is remembered by size and times,
so that a file is read for this once in a process.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from iisan_core.errors import RefusedError

CHECKSUMS = "checksums.json"
FORMAT_VERSION = 1

WITHIN = ("best", "checkpoint", "start")
"""Folders in a folder whose files stand in its list, too."""

UNLISTED = ("status.json", "stop", "stages.json", "labels.json", "digests.parquet", CHECKSUMS)
"""Replaced by several processes, or again and again, and of no account once they are lost."""

TRIES = 4
"""Looks at a file that is not what its list says, before that is said."""

Facts: TypeAlias = tuple[int, str] | None
"""Bytes of a file and their SHA-256; None where there is no file."""

Stamp: TypeAlias = tuple[int, int, int, int]

_lists: dict[Path, tuple[Stamp, dict[str, list[Facts]]]] = {}
_files: dict[Path, tuple[Stamp, Facts]] = {}
"""What this process has read already, and when that was last changed."""

_writing = threading.RLock()


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def flushed(path: Path) -> None:
    """Return when a file's bytes, or a folder's names, are on the disk and outlast a crash of the machine."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def seal(folder: Path, names: Sequence[str] = ()) -> None:
    """Give a folder a list of these files of it, as they are now; from then on what is replaced there joins it."""
    with _writing:
        _write_list(folder, {name: [_facts(folder / name)] for name in names})


def begin_list(folder: Path) -> None:
    """Make a folder that keeps checksums, if there is none yet; one that is there stays what it is."""
    if not folder.exists():
        folder.mkdir(parents=True)
        seal(folder)


def checked(path: Path, *, broken: bool = True) -> Path:
    """The same path, held against its folder's list; nothing is done where there is none, or the file is not in it.

    Readers call it once they have made sense of a file, for what makes none they name better themselves. Raises
    `RefusedError` naming the file and what is wrong with it: absent, empty, cut short, or of other bytes; with
    `broken` off only where it is absent.
    """
    if not broken and path.exists():
        return path
    home = _home_of(path)
    if home is None:
        return path
    name = path.relative_to(home).as_posix()
    found, accepted = _looked_at(path, home, name)
    for attempt in range(TRIES):  # it may just be replaced
        if found in accepted:
            return path
        time.sleep(0.02 * attempt)
        found, accepted = _looked_at(path, home, name)
    raise RefusedError(f"{path} {_difference(found, accepted[-1])}; {_remedy(home, name)}")


def _looked_at(path: Path, home: Path, name: str) -> tuple[Facts, list[Facts]]:
    """What a file is, and what it may be: what it is, where it is not in the list."""
    accepted, found = _list_of(home).get(name), _facts(path)
    return found, [found] if accepted is None else accepted


@contextmanager
def recorded(path: Path, temporary: Path) -> Iterator[None]:
    """Around the moment at which `temporary` becomes `path`: the list of the folder, if it has one, goes along."""
    home = _home_of(path)
    if home is None or path.name in UNLISTED:
        yield
        return
    name, new = path.relative_to(home).as_posix(), (temporary.stat().st_size, sha256_of_file(temporary))
    flushed(temporary)
    with _writing:
        before = _list_of(home).get(name, [_facts(path)])
        _write_list(home, _list_of(home) | {name: [*(known for known in before if known != new), new]}, flush=True)
        yield
        _write_list(home, _list_of(home) | {name: [new]})
        if (stamp := _stamp(path)) is not None:
            _files[path] = stamp, new


def _home_of(path: Path) -> Path | None:
    """The folder whose list a file belongs in; None where it is in none."""
    folder = path.parent
    if (folder / CHECKSUMS).is_file():
        return folder
    for _ in range(2):  # best/model.safetensors, best/0/model.safetensors
        within, folder = folder.name, folder.parent
        if within in WITHIN and (folder / CHECKSUMS).is_file():
            return folder
    return None


def _list_of(home: Path) -> dict[str, list[Facts]]:
    """File → what it may be; raises `RefusedError` where the list is damaged."""
    path = home / CHECKSUMS
    stamp = _stamp(path)
    if stamp is None:
        return {}
    if path in _lists and _lists[path][0] == stamp:
        return _lists[path][1]
    try:
        said = json.loads(path.read_bytes())
        if said["format_version"] != FORMAT_VERSION or said["sha256"] != _digest_of(said["files"]):
            raise ValueError("it is of another version, or damaged")
        found = {name: [_as_facts(each) for each in several] for name, several in said["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RefusedError(
            f"{path} is no list of checksums ({str(error) or type(error).__name__}): bring it back from a copy, or "
            "remove it, and the folder is read unchecked"
        ) from None
    _lists[path] = stamp, found
    return found


def _as_facts(said: Any) -> Facts:
    if said is None:
        return None
    size, digest = said
    return int(size), str(digest)


def _write_list(home: Path, files: dict[str, list[Facts]], *, flush: bool = False) -> None:
    listed = {name: [list(facts) if facts else None for facts in several] for name, several in files.items()}
    said = {"format_version": FORMAT_VERSION, "files": listed, "sha256": _digest_of(listed)}
    path = home / CHECKSUMS
    temporary = path.with_name(f".{CHECKSUMS}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
        if flush:
            flushed(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _digest_of(files: Any) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _facts(path: Path) -> Facts:
    """Of a file; read once as long as its size and times stay."""
    stamp = _stamp(path)
    if stamp is None:
        return None
    if path not in _files or _files[path][0] != stamp:
        _files[path] = stamp, (stamp[0], sha256_of_file(path))
    return _files[path][1]


def _stamp(path: Path) -> Stamp | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino


def _difference(found: Facts, written: Facts) -> str:
    size = f"{written[0]:,} bytes" if written else "none"
    if found is None:
        return f"is gone; it was written with {size}"
    if not found[0]:
        return f"is empty; it was written with {size}"
    if written and found[0] != written[0]:
        return f"has {found[0]:,} bytes and was written with {size}: cut short, changed by hand, or another folder's"
    return "has other bytes than it was written with: damaged, changed by hand, or another folder's"


def _remedy(home: Path, name: str) -> str:
    if name == "config.yaml":
        way = "a run is what this file said when it began, so put it back; changed settings make a new run, by --config"
    elif name.startswith("checkpoint/"):
        way = f"bring it back from a copy, or remove {home / name} to have `iisan resume` start over"
    elif (home / "dataset.json").is_file() or name == "dataset.json":
        way = "bring it back from a copy, or import the data again"
    elif (home / "manifest.json").is_file() or name == "manifest.json":
        way = "bring it back from a copy, or remove the folder and run `iisan extract` again"
    else:
        way = "bring it back from a copy, or train again"
    return f"{way}; if you changed it on purpose, remove {home / CHECKSUMS}, and the folder is read unchecked"
