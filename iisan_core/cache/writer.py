"""Write a hidden-state cache part by part, so that a killed extraction loses at most one part."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
from torch import Tensor

from iisan_core.cache.inputs import CatalogueInputs
from iisan_core.cache.manifest import ITEM_IDS, MANIFEST, STATES, CacheManifest, Part, PartRecord, read_manifest
from iisan_core.cache.states import as_bytes, sha256_of_rows
from iisan_core.errors import IisanError
from iisan_core.files import read_json, replacing, write_json
from iisan_core.validation import validated


class CacheWriter:
    """An unfinished cache folder: knows which parts are done, takes the others, and finishes.

    `plan` is the manifest to be, without parts. Finished parts of an earlier, killed extraction with the same plan
    are kept if their bytes are whole; anything else in the folder is replaced.
    """

    def __init__(self, folder: Path, plan: CacheManifest) -> None:
        self.folder = folder
        self.plan = plan
        if not _same_work(folder, plan):
            self._start_anew()
        self.finished: dict[int, PartRecord] = dict(self._whole_parts())

    @property
    def unfinished(self) -> list[int]:
        """Numbers of the parts still to be written."""
        return [part for part in range(-(-self.plan.items // self.plan.part_size)) if part not in self.finished]

    def rows(self, part: int) -> range:
        """The rows of a part."""
        start = part * self.plan.part_size
        return range(start, min(start + self.plan.part_size, self.plan.items))

    def write(self, part: int, states: Tensor, problems: Mapping[int, str]) -> None:
        """Store the rows of a part, `[rows, ΣD]` in the stored dtype, and note it as finished.

        `problems`: row of the cache → why its input could not be read.
        """
        rows = self.rows(part)
        raw = as_bytes(states)
        assert len(raw) == len(rows) * self.plan.row_bytes
        with (self.folder / STATES).open("r+b") as stream:
            stream.seek(rows.start * self.plan.row_bytes)
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())  # the note below must never be older than the rows it vouches for
        record = PartRecord(
            start=rows.start, stop=rows.stop, sha256=hashlib.sha256(raw).hexdigest(), problems=dict(problems)
        )
        write_json(self._journal(part), record.model_dump(mode="json"))
        self.finished[part] = record

    def finish(self, inputs: CatalogueInputs) -> CacheManifest:
        """Write the item ids and the complete manifest; the journal has done its work and goes."""
        assert not self.unfinished
        self._write_item_ids(inputs)
        parts = tuple(Part(start=r.start, stop=r.stop, sha256=r.sha256) for _, r in sorted(self.finished.items()))
        manifest = self.plan.model_copy(update={"parts": parts, "complete": True})
        write_json(self.folder / MANIFEST, manifest.model_dump(mode="json"))
        shutil.rmtree(self.folder / "parts", ignore_errors=True)
        return manifest

    def _write_item_ids(self, inputs: CatalogueInputs) -> None:
        problems = {row: text for record in self.finished.values() for row, text in record.problems.items()}
        table = pl.DataFrame(
            {
                "item_id": inputs.item_ids,
                "present": [value is not None and row not in problems for row, value in enumerate(inputs.values)],
                "problem": [problems.get(row) for row in range(len(inputs.item_ids))],
                "fingerprint": inputs.fingerprints,
            },
            schema={"item_id": pl.String, "present": pl.Boolean, "problem": pl.String, "fingerprint": pl.String},
        )
        with replacing(self.folder / ITEM_IDS) as temporary:
            table.write_parquet(temporary)

    def _start_anew(self) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        (self.folder / "parts").mkdir(parents=True)
        self._allocate(self.plan.items * self.plan.row_bytes)
        write_json(self.folder / MANIFEST, self.plan.model_dump(mode="json"))

    def _allocate(self, size: int) -> None:
        """Take the room for all rows now, so that a full disk shows before hours of work, not after."""
        path = self.folder / STATES
        try:
            with path.open("wb") as stream:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(stream.fileno(), 0, size)
                stream.truncate(size)
        except OSError as error:
            shutil.rmtree(self.folder)
            free = shutil.disk_usage(self.folder.parent).free
            raise IisanError(
                f"the cache {self.folder} needs {size:,} bytes, {free:,} are free there ({error.strerror}); "
                "make room, keep fewer layers, or choose another place"
            ) from None

    def _whole_parts(self) -> Iterator[tuple[int, PartRecord]]:
        for path in sorted((self.folder / "parts").glob("*.json")):
            part = int(path.stem)
            record = validated(PartRecord, read_json(path, what="part record"), where=str(path))
            if sha256_of_rows(self.folder / STATES, record, row_bytes=self.plan.row_bytes) == record.sha256:
                yield part, record

    def _journal(self, part: int) -> Path:
        return self.folder / "parts" / f"{part:05}.json"


def _same_work(folder: Path, plan: CacheManifest) -> bool:
    """Whether `folder` holds an unfinished extraction of exactly this plan (library versions aside)."""
    if not (folder / MANIFEST).is_file() or not (folder / STATES).is_file():
        return False
    begun = read_manifest(folder)
    return begun == plan.model_copy(update={"libraries": begun.libraries, "backbone": begun.backbone})
