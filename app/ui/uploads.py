"""Files for an import: on this machine by their path, or uploaded; refused by a sentence if of the wrong kind."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.names import tame_file_name
from iisan_core.errors import RefusedError

TABLES = ("tsv", "csv", "txt", "dat", "json", "jsonl", "gz", "parquet", "pq")
PICTURES = ("zip",)
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
    """Raise `RefusedError` for an upload of another kind than its name says."""
    for source in vars(sources).values():
        if source is not None and not isinstance(source, str):
            _refuse_other_content(source)


@contextmanager
def as_files(sources: Sources, shelf: Path) -> Iterator[tuple[Path, Path, Path | None]]:
    """Catalogue, log and pictures as paths; uploads lie on `shelf` until the block ends.

    Raises `RefusedError` for a path that is not there, or an upload of another kind than its name says.
    """
    refuse_other_content(sources)
    uploads = not all(source is None or isinstance(source, str) for source in vars(sources).values())
    if uploads:
        shelf.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".upload-", dir=shelf if uploads else None))
    try:
        items, log, images = (_as_file(source, folder / what) for what, source in vars(sources).items())
        assert items is not None and log is not None, "asked for only when complete"
        yield items, log, images
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_file(source: str | UploadedFile | None, folder: Path) -> Path | None:
    if source is None:
        return None
    if isinstance(source, str):
        return Path(source).expanduser()
    folder.mkdir()
    path = folder / tame_file_name(source.name)
    with path.open("wb") as stream:
        shutil.copyfileobj(source, stream)
    source.seek(0)
    return path


@contextmanager
def as_file(upload: UploadedFile, shelf: Path) -> Iterator[Path]:
    """One upload as a path; it lies on `shelf` until the block ends."""
    shelf.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".upload-", dir=shelf) as folder:
        path = _as_file(upload, Path(folder) / "file")
        assert path is not None
        yield path


MAGIC = {".zip": b"PK", ".gz": b"\x1f\x8b", ".parquet": b"PAR1", ".pq": b"PAR1"}


def _refuse_other_content(source: UploadedFile) -> None:
    """The name says what a file is to be; its first bytes say what it is."""
    ending = Path(source.name).suffix.lower()
    begins = source.read(4)
    source.seek(0)
    wanted = MAGIC.get(ending)
    if wanted is not None and not begins.startswith(wanted):
        raise RefusedError(f"{source.name} is no {ending} file, though its name says so; upload the file itself")
    if wanted is None and (begins.startswith(tuple(MAGIC.values())) or b"\x00" in begins):
        raise RefusedError(f"{source.name} is no text file, though its name says so; upload it under its right ending")
