"""Files that are whole or absent: everything is written under a temporary name, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no such locks
    fcntl = None  # type: ignore[assignment]

from iisan_core.errors import RefusedError
from iisan_core.files.checksums import begin_list as begin_list
from iisan_core.files.checksums import checked as checked
from iisan_core.files.checksums import flushed as flushed
from iisan_core.files.checksums import recorded
from iisan_core.files.checksums import seal as seal
from iisan_core.files.checksums import sha256_of_file as sha256_of_file

UNFINISHED = ".tmp"
"""Ending of folders that are being made."""

MOST_BYTES = 2**28
"""Of a JSON or YAML file: ours have kilobytes, and what is larger would only fill the memory."""

MOST_DEEP = 64
"""Levels of lists and objects in a record; ours have five."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` to write to; it becomes `path` only if the block succeeds.

    In a folder that keeps checksums (`checksums`), it is known by its own from then on.

    Raises `RefusedError` if `path` is a folder, or cannot be where it should be.
    """
    if path.is_dir():
        raise RefusedError(f"cannot write {path}: it is a folder; give the name of a file")
    _make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with recorded(path, temporary):
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it becomes `path` only if the block succeeds.

    What killed processes left of such folders there is cleared away first.

    Raises `RefusedError` if `path` exists already and is not empty, for nobody's work is overwritten, or cannot be
    where it should be.
    """
    refuse_existing(path)
    _make_folder(path.parent)
    clear_unfinished(path.parent)
    made = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent))
    made.chmod(0o755)
    held = _hold(made)
    temporary = made.rename(made.with_suffix(UNFINISHED))  # by its final name only when it is held
    try:
        yield temporary
        refuse_existing(path)  # somebody may have taken it meanwhile
        if path.exists():
            path.rmdir()
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if held is not None:
            os.close(held)


def unfinished(folder: Path) -> list[Path]:
    """Temporary folders in `folder` that `new_folder` made and whose process has ended."""
    return [path for path in sorted(folder.glob(f".*{UNFINISHED}")) if path.is_dir() and _is_left(path)]


def clear_unfinished(folder: Path) -> list[Path]:
    """Remove what `unfinished` finds; returns what is gone."""
    left = unfinished(folder)
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return left


def _hold(folder: Path) -> int | None:
    """Lock a folder while this process lives and the returned handle is open; None where it cannot be locked."""
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _is_left(folder: Path) -> bool:
    try:
        handle = _hold(folder)
    except OSError:  # gone meanwhile, or not ours
        return False
    if handle is not None:
        os.close(handle)
    return handle is not None


def refuse_existing(path: Path) -> None:
    """Raise `RefusedError` if `path` is taken (an empty folder does not count)."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RefusedError(f"{path} exists already; choose another place or remove it first")


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise RefusedError(f"cannot make the folder {path}: a file is in its way; choose another place") from None


def refuse_links_outside(folder: Path) -> None:
    """Raise `RefusedError` if a link in `folder`, or one folder further down, leads out of it.

    Who reads or writes in a folder that came from elsewhere shall touch nothing but that folder.
    """
    home = folder.resolve()
    for path in [*folder.glob("*"), *folder.glob("*/*")]:
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise RefusedError(
                f"{path} is a link to {path.resolve()}, outside of {folder}; put what it leads to in its place"
            )


def refuse_special(paths: Iterable[Path], *, home: Path) -> None:
    """Raise `RefusedError` if one of these files of `home` is a link out of it, or a device, a pipe or their like.

    What is absent is left to whoever opens it; of folders, the files in them are looked at. A link that stays inside
    is followed. A pipe would never end, and a link could show anybody any file of this machine.
    """
    root, top, known = home.resolve(), str(home), {str(home)}
    for path in map(str, paths):
        folder = os.path.dirname(path)  # noqa: PTH120 - of tens of thousands of files
        while folder not in known and folder.startswith(top):  # a folder may be a link, too; each is looked at once
            known.add(folder)
            _refuse_special(folder, home, root)
            folder = os.path.dirname(folder)  # noqa: PTH120
        if _refuse_special(path, home, root):
            with os.scandir(path) as entries:
                within = [entry.path for entry in entries if entry.is_symlink() or not entry.is_dir()]
            for file in within:
                _refuse_special(file, home, root)


def _refuse_special(path: str, home: Path, root: Path) -> bool:
    """Whether it is a folder."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            there = Path(path).resolve()
            if not there.is_relative_to(root):
                raise RefusedError(f"{path} is a link to {there}, outside of {home}; put what it leads to in its place")
            mode = os.stat(path).st_mode  # noqa: PTH116
    except (OSError, RuntimeError, ValueError):  # absent, a link in a circle, or a name that no file can have
        return False
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise RefusedError(f"{path} is neither a file nor a folder but a device, a pipe or a socket; remove it")
    return stat.S_ISDIR(mode)


def write_text(path: Path, text: str) -> None:
    """Replace the file `path` by `text` (UTF-8) in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Replace the file `path` by `value` as indented JSON in one step."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, *, what: str) -> Any:
    """Read a JSON file; `what` names it in the `RefusedError` raised when it is absent, no file, or no JSON."""
    try:
        return parse_json(read_bytes(path, what=what))
    except ValueError as error:
        raise RefusedError(f"{path} is no {what}: not valid JSON ({error})") from None


def read_object(path: Path, *, what: str) -> dict[str, Any]:
    """The same for a record that is an object, and nothing else."""
    value = read_json(path, what=what)
    if not isinstance(value, dict):
        raise RefusedError(f"{path} is no {what}: it should be an object, is {type(value).__name__}")
    return value


def parse_json(text: str | bytes) -> Any:
    """The value that a JSON text says; raises `ValueError` where it is none, or nested deeper than any record is."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    level, depth = [value], 0
    while level := [inner for outer in level for inner in _inside(outer)]:
        if (depth := depth + 1) > MOST_DEEP:
            raise ValueError("nested too deep")
    return value


def _inside(value: Any) -> Iterable[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for each in inner if isinstance(each, (dict, list))]


def read_bytes(path: Path, *, what: str) -> bytes:
    """Read the file of a record; raises `RefusedError` where it is absent, cannot be read, or is no record's file.

    A pipe would never end, nor would a device; neither is opened.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise RefusedError(f"{path} is no {what}: it is no file; put the record itself there")
        if facts.st_size > MOST_BYTES:
            raise RefusedError(
                f"{path} is no {what}: it has {facts.st_size:,} bytes, no record has over {MOST_BYTES:,}"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise RefusedError(f"no {what} at {path}: the file does not exist") from None
    except (OSError, ValueError) as error:
        raise RefusedError(f"no {what} at {path}: {getattr(error, 'strerror', None) or error}") from None


def sha256_of_texts(texts: Iterable[str]) -> str:
    """Hexadecimal SHA-256 of strings; order and boundaries count."""
    digest = hashlib.sha256()
    for text in texts:
        raw = text.encode("utf-8")
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()
