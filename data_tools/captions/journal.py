"""Captions as they are written, one line each: what a killed process leaves is found by the next."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from iisan_core.errors import RefusedError


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
            record = json.loads(line)
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
