"""`digests.parquet` in a dataset folder: the SHA-256 of its files, so that they are read again only when they changed.

One row a file: path (relative to the folder), size, mtime_ns, ctime_ns, sha256, misread. A digest counts as long as
size and both times are those of the file. It is a convenience: without it, or where the folder cannot be written,
every file is read. A file that changed moments before it was read is not recorded, since a second change might leave
the same times.
Pictures that earlier releases misread (see `iisan_core.data.pictures`) have another fingerprint than they had, so that
the next extraction computes their rows, and only theirs, anew.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

import polars as pl

from iisan_core.data.dataset import FILE_COLUMNS, Dataset, frame_files
from iisan_core.data.pictures import was_misread
from iisan_core.errors import RefusedError
from iisan_core.files import replacing, sha256_of_file, sha256_of_texts

DIGESTS = "digests.parquet"

COLUMNS = {"path": pl.String, "size": pl.Int64, "mtime_ns": pl.Int64, "ctime_ns": pl.Int64, "sha256": pl.String} | {
    "misread": pl.Boolean
}

SETTLED_NS = 2_000_000_000
"""How long ago a file must have changed for its digest to be recorded: the coarsest clock of file systems in use."""

Stamp: TypeAlias = tuple[int, int, int]
"""Size in bytes, mtime and ctime in nanoseconds."""


class Digest(NamedTuple):
    """What a file holds."""

    sha256: str
    misread: bool
    """Whether it is a picture of which earlier releases took other pixels."""

    @property
    def fingerprint(self) -> str:
        """What stands for the file's content in a cache."""
        return sha256_of_texts([self.sha256, "upright"]) if self.misread else self.sha256


_writing = threading.Lock()


def fingerprints_of(folder: Path, paths: Sequence[Path | None]) -> list[str | None]:
    """One SHA-256 per input in `folder`: of a file, or of a folder's files with the names by which their order goes.

    None where there is nothing to read, which is reported by item when the input is read for its states. Only files
    without a digest that counts are read; the record is replaced in one step when there are new ones.
    """
    files = _files(paths)
    digests = _digests(folder, [file for of_one in files.values() for file in of_one])
    return [None if path is None else _fingerprint(path, files.get(path), digests) for path in paths]


def changed_files(dataset: Dataset) -> tuple[list[str], int]:
    """Read every file of a dataset that has a digest anew: the paths of those that differ, and how many have none.

    Size and times do not count here, and the record stays as it is.
    """
    paths = [path for column in FILE_COLUMNS if column in dataset.items.columns for path in dataset.file_paths(column)]
    recorded = _recorded(dataset.folder)
    files = {file: _name(file, dataset.folder) for of_one in _files(paths).values() for file in of_one}
    known = {file: recorded[name] for file, name in files.items() if name in recorded}
    changed = [files[file] for file, found in _read(list(known)).items() if found.sha256 != known[file][1].sha256]
    return sorted(changed), len(files) - len(known)


def _files(paths: Iterable[Path | None]) -> dict[Path, list[Path]]:
    """Input → the files that it is made of: itself, or the frames in it; none where they cannot be listed."""
    found = {}
    for path in dict.fromkeys(path for path in paths if path is not None):
        with suppress(OSError):
            found[path] = frame_files(path) if path.is_dir() else [path]
    return found


def _fingerprint(path: Path, files: list[Path] | None, digests: Mapping[Path, Digest]) -> str | None:
    if files is None or any(file not in digests for file in files):
        return None
    if files == [path]:
        return digests[path].fingerprint
    return sha256_of_texts(f"{file.name}\0{digests[file].fingerprint}" for file in files)


def _digests(folder: Path, files: Iterable[Path]) -> dict[Path, Digest]:
    """Of the files that can be read."""
    begun = time.time_ns()
    stamps = {file: stamp for file in files if (stamp := _stamp(file)) is not None}
    recorded = _recorded(folder)
    known = {file: recorded[name] for file in stamps if (name := _name(file, folder)) in recorded}
    found = {file: digest for file, (stamp, digest) in known.items() if stamp == stamps[file]}
    # The stamps are from before the reading: what changes meanwhile has others by the next time.
    fresh = _read([file for file in stamps if file not in found])
    settled = {file: digest for file, digest in fresh.items() if max(stamps[file][1:]) < begun - SETTLED_NS}
    if settled:
        kept = {name: digest for name, digest in recorded.items() if (folder / name).is_file()}
        new = {_name(file, folder): (stamps[file], digest) for file, digest in settled.items()}
        _record(folder, kept | new)
    return found | fresh


def _name(file: Path, folder: Path) -> str:
    return str(file).removeprefix(f"{folder}{os.sep}")


def _stamp(file: Path) -> Stamp | None:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _read(files: Sequence[Path]) -> dict[Path, Digest]:
    """The digest of every file that can be read."""
    with ThreadPoolExecutor() as readers:
        read = list(readers.map(_digest, files))
    return {file: digest for file, digest in zip(files, read, strict=True) if digest is not None}


def _digest(file: Path) -> Digest | None:
    try:
        return Digest(sha256_of_file(file), was_misread(file))
    except OSError:
        return None


def _recorded(folder: Path) -> dict[str, tuple[Stamp, Digest]]:
    """Path → what the file was when it was read; nothing where there is no record, or none that can be used."""
    try:
        table = pl.read_parquet(folder / DIGESTS, columns=list(COLUMNS))
    except (OSError, pl.exceptions.PolarsError):
        return {}
    if table.schema != COLUMNS:
        return {}
    return {path: ((size, mtime, ctime), Digest(*digest)) for path, size, mtime, ctime, *digest in table.iter_rows()}


def _record(folder: Path, digests: Mapping[str, tuple[Stamp, Digest]]) -> None:
    rows = [(name, *stamp, *digest) for name, (stamp, digest) in sorted(digests.items())]
    # In a folder that cannot be written, the files are read again next time. Processes have temporary files of their
    # own, threads of one process would share it.
    with suppress(OSError, RefusedError, pl.exceptions.PolarsError), _writing, replacing(folder / DIGESTS) as temporary:
        pl.DataFrame(rows, schema=COLUMNS, orient="row").write_parquet(temporary)
