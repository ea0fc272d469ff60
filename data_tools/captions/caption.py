"""Every item's caption, in batches, resumable, into one more text column of the catalogue.

Captions go into a journal as they are written, one line each: what a killed process leaves is found by the next.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock, Timeout
from PIL import Image

from data_tools.captions.captioner import Captioner, files_of, open_pictures
from data_tools.captions.progress import COLUMN, CaptionProgress, Origin
from data_tools.images import UnreadableImageError
from data_tools.writing import write_column
from iisan_core.data.dataset import ITEM_COLUMNS, NO_TEXT, Dataset
from iisan_core.errors import RefusedError
from iisan_core.files import parse_json

NAMED: dict[Origin, str] = {
    "image": "a picture (`iisan data images` fetches them from web addresses)",
    "video": "a video (the column `video` of items.parquet names them)",
}
"""What messages call an item's picture or video, and where one comes from."""


def caption_items(
    folder: str | Path,
    captioner: Captioner,
    *,
    column: str = COLUMN,
    origin: Origin = "image",
    frames: int = 4,
    batch_size: int = 16,
    overwrite: bool = False,
) -> Generator[CaptionProgress]:
    """Describe every item that has pictures and write the texts into the column `column`; yields after each batch.

    Captions are kept in `captions/<column>.jsonl` of the dataset folder as they are made, so that a call after a kill
    goes on, and a call after the catalogue has grown describes the new items only. The catalogue is replaced in
    one step at the end, also if the iterator is closed or interrupted. Items without pictures have no caption (null).

    Raises `RefusedError` as `files_to_caption` does, if the column's captions were made with other settings and
    `overwrite` is not given, or another process is at work.
    """
    folder = Path(folder)
    files = files_to_caption(folder, column=column, origin=origin)
    if frames < 1 or batch_size < 1:
        raise RefusedError(f"{frames} frames, batches of {batch_size}: both must be at least 1")
    journal = _journal(folder, column)
    settings = captioner.settings | {"origin": origin} | ({"frames": frames} if origin == "video" else {})
    with journal.only_one():
        if overwrite:
            journal.path.unlink(missing_ok=True)
        known = journal.begin(settings)
        missing = [item_id for item_id in files if item_id not in known]
        found, failures = len(files) - len(missing), dict[str, str]()
        yield CaptionProgress(total=len(files), found=found, written=0)
        try:
            for start in range(0, len(missing), batch_size):
                batch = missing[start : start + batch_size]
                readable = _opened({item_id: files[item_id] for item_id in batch}, origin, frames, failures)
                captions = _described(captioner, readable)
                journal.add(captions)
                known |= captions
                written = start + len(batch) - len(failures)
                yield CaptionProgress(total=len(files), found=found, written=written, failures=dict(failures))
        finally:
            _write_column(folder, column, known)


def files_to_caption(folder: str | Path, *, column: str = COLUMN, origin: Origin = "image") -> dict[str, Path]:
    """Item id → its picture or video, of the items that have one; asked before a model is loaded.

    Raises `RefusedError` if the folder is no dataset, `column` cannot be used, or no item has what `origin` says.
    """
    dataset = Dataset.load(folder)
    _refuse_column(dataset, column)
    files = files_of(dataset, origin)
    if not files:
        raise RefusedError(f"no item of {dataset.folder} has {NAMED[origin]}, so there is nothing to describe")
    return files


def _journal(folder: Path, column: str) -> Journal:
    return Journal(folder / "captions" / f"{column}.jsonl")


def _opened(
    files: Mapping[str, Path], origin: Origin, frames: int, failures: dict[str, str]
) -> dict[str, list[Image.Image]]:
    """Pictures of the items that can be read; why others cannot goes into `failures`."""
    pictures: dict[str, list[Image.Image]] = {}
    for item_id, path in files.items():
        try:
            pictures[item_id] = open_pictures(path, origin=origin, frames=frames)
        except UnreadableImageError as fault:
            failures[item_id] = str(fault)
    return pictures


def _described(captioner: Captioner, pictures: Mapping[str, list[Image.Image]]) -> dict[str, str]:
    texts = captioner.caption(list(pictures.values())) if pictures else []
    return dict(zip(pictures, texts, strict=True))


def _refuse_column(dataset: Dataset, column: str) -> None:
    if not re.fullmatch(r"[A-Za-z]\w*", column) or column in (*ITEM_COLUMNS, *NO_TEXT):
        raise RefusedError(
            f"field {column!r}: give a plain name of letters, digits and _, other than {', '.join(ITEM_COLUMNS)}"
        )
    if column in dataset.items.columns and not _journal(dataset.folder, column).path.is_file():
        raise RefusedError(f"{dataset.folder} has texts in {column!r} that no captioning wrote; choose another --field")


def _write_column(folder: Path, column: str, captions: Mapping[str, str]) -> None:
    """Put the captions into the catalogue, and on the card how many are wanting."""
    dataset = Dataset.load(folder)  # again, since others may have added to it meanwhile
    texts = [captions.get(item_id) or None for item_id in dataset.items["item_id"]]
    write_column(dataset, pl.Series(column, texts, dtype=pl.String))


@dataclass(frozen=True)
class Journal:
    """A JSON-lines file: the settings, then one item id and caption a line."""

    path: Path

    @contextmanager
    def only_one(self) -> Iterator[None]:
        """Within the block no other process writes captions here; raises `RefusedError` if one does."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path.with_name(f".{self.path.name}.lock"), blocking=False):
                yield
        except Timeout:
            raise RefusedError(f"another process is writing {self.path}; wait until it is done, or stop it") from None

    def begin(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Item id → caption, as found; starts a new journal where there is none.

        Raises `RefusedError` if what is there was written with other settings, or is damaged.
        """
        self._cut_torn_line()
        lines = self.path.read_bytes().splitlines() if self.path.is_file() else []
        if not lines:
            self._append([{"settings": dict(settings)}])
            return {}
        found, known = self._read(lines)
        other = [f"{key} {found.get(key)!r}" for key in settings if found.get(key) != settings[key]]
        if other:
            raise RefusedError(
                f"{self.path} holds captions made with {', '.join(other)}; write to another --field, or replace them "
                "with --overwrite"
            )
        return known

    def _read(self, lines: list[bytes]) -> tuple[dict[str, Any], dict[str, str]]:
        """The settings, and item id → caption."""
        settings = dict(self._record(lines[0], 1, "settings")["settings"])
        records = [self._record(line, n, "item_id", "caption") for n, line in enumerate(lines[1:], start=2)]
        return settings, {record["item_id"]: record["caption"] for record in records}

    def _record(self, line: bytes, number: int, *keys: str) -> dict[str, Any]:
        try:
            record = parse_json(line)
        except ValueError:
            record = None
        if isinstance(record, dict) and set(keys) <= set(record):
            return record
        raise RefusedError(
            f"{self.path}, line {number}: no record of a captioning; remove the line, or write all captions anew with "
            "--overwrite"
        )

    def add(self, captions: Mapping[str, str]) -> None:
        """Append captions by item id; they are on the disk when this returns."""
        self._append([{"item_id": item_id, "caption": caption} for item_id, caption in captions.items()])

    def _append(self, records: list[dict[str, Any]]) -> None:
        with self.path.open("ab") as stream:
            stream.write(b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records))
            stream.flush()
            os.fsync(stream.fileno())

    def _cut_torn_line(self) -> None:
        """Drop what a kill left of an unfinished line."""
        if self.path.is_file():
            whole = self.path.read_bytes().rfind(b"\n") + 1
            os.truncate(self.path, whole)
