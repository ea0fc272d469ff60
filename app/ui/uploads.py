"""Files for an import: on this machine by their path, or uploaded; refused by a sentence if of the wrong kind."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.names import tame_file_name
from iisan_core.errors import RefusedError

TABLES = (
    "tsv", "csv", "txt", "dat", "data", "item", "inter", "json", "jsonl", "gz", "bz2", "xz", "zst", "parquet", "pq",
    "feather", "xlsx",
)  # fmt: skip
PICTURES = ("zip",)
MAGIC = {
    ".zip": b"PK",
    ".xlsx": b"PK",
    ".gz": b"\x1f\x8b",
    ".bz2": b"BZh",
    ".xz": b"\xfd7zXZ",
    ".zst": b"\x28\xb5\x2f\xfd",
    ".parquet": b"PAR1",
    ".pq": b"PAR1",
    ".feather": b"ARROW1",
}
"""Ending → how such a file begins."""
MARKS = (b"\xff\xfe", b"\xfe\xff")
"""How text in UTF-16 begins."""
MEGABYTES = 200
"""The most that an upload may have; larger files are named by their path."""


@dataclass(frozen=True)
class Sources:
    """What an import reads; a given path, or an upload."""

    items: str | UploadedFile | None
    interactions: str | UploadedFile | None
    images: str | UploadedFile | None

    @property
    def complete(self) -> bool:
        """Whether catalogue and log are given."""
        return bool(self.items) and bool(self.interactions)


def choose_sources(kind: str) -> Sources:
    """Where catalogue, log and pictures are."""
    if kind == "huggingface":
        left, right = st.columns(2)
        items = left.text_input("Catalogue: dataset id", key="hub items", placeholder="owner/name")
        log = right.text_input("Log: dataset id", key="hub log", placeholder="owner/name")
        return Sources(items.strip(), log.strip(), None)
    how = st.segmented_control(
        "Files", ["On this machine", "Upload"], default="On this machine", required=True, key="import from"
    )
    return _uploaded() if how == "Upload" else _by_path()


def _by_path() -> Sources:
    columns = st.columns(3)
    labels = ("Catalogue: file", "Log of interactions: file", "Pictures: folder or zip (optional)")
    found = [
        column.text_input(label, key=f"path {label}", placeholder="/data/…").strip()
        for column, label in zip(columns, labels, strict=True)
    ]
    return Sources(*(path or None for path in found))


def _uploaded() -> Sources:
    columns = st.columns(3)
    labels = ("Catalogue", "Log of interactions", "Pictures, as a zip (optional)")
    kinds: Sequence[Sequence[str]] = (TABLES, TABLES, PICTURES)
    found = [
        column.file_uploader(label, type=list(kind), key=f"upload {label}", max_upload_size=MEGABYTES)
        for column, label, kind in zip(columns, labels, kinds, strict=True)
    ]
    return Sources(*found)


def refuse_other_content(sources: Sources) -> None:
    """Raise `RefusedError` for an upload whose first bytes say that it is of another kind than its name says."""
    for source in vars(sources).values():
        if source is None or isinstance(source, str):
            continue
        ending, begins = Path(source.name).suffix.lower(), source.read(6)
        source.seek(0)
        wanted = MAGIC.get(ending)
        if wanted is not None and not begins.startswith(wanted):
            raise RefusedError(f"{source.name} is no {ending} file, though its name says so; upload the file itself")
        binary = b"\x00" in begins and not begins.startswith(MARKS)
        if wanted is None and (binary or begins.startswith(tuple(MAGIC.values()))):
            raise RefusedError(
                f"{source.name} is no text file, though its name says so; upload it under its right ending"
            )


@contextmanager
def as_files(sources: Sources, shelf: Path) -> Iterator[tuple[Path, Path, Path | None]]:
    """Catalogue, log and pictures as paths; uploads lie on `shelf` until the block ends.

    Raises `RefusedError` for an upload of another kind than its name says.
    """
    refuse_other_content(sources)
    with ExitStack() as stack:

        def path_of(source: str | UploadedFile | None) -> Path | None:
            if source is None or isinstance(source, str):
                return None if source is None else Path(source).expanduser()
            return stack.enter_context(as_file(source, shelf))

        items, log, images = map(path_of, vars(sources).values())
        assert items is not None and log is not None, "asked for only when complete"
        yield items, log, images


@contextmanager
def as_file(upload: UploadedFile, shelf: Path) -> Iterator[Path]:
    """One upload as a path; it lies on `shelf` until the block ends."""
    shelf.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".upload-", dir=shelf, ignore_cleanup_errors=True) as folder:
        path = Path(folder) / tame_file_name(upload.name)
        with path.open("wb") as stream:
            shutil.copyfileobj(upload, stream)
        upload.seek(0)
        yield path
