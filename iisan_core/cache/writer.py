"""Write a hidden-state cache shard by shard, so that a killed extraction loses at most one shard.

What a kill may leave behind, and why nothing is lost by it: rows behind the last one that a journal entry or the
manifest vouches for (overwritten); an item table with more rows than the manifest (readers stop at the manifest's
last); a journal of work that is finished (its plan is no longer the one to do). A lock lets one extraction at a time
into a folder.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from filelock import FileLock, Timeout
from torch import Tensor

from iisan_core.cache.inputs import CatalogueInputs
from iisan_core.cache.manifest import (
    APPEND,
    ITEM_IDS,
    MANIFEST,
    SHARDS,
    STATES,
    CacheManifest,
    Shard,
    ShardRecord,
    read_manifest,
    write_manifest,
)
from iisan_core.cache.rows import ITEM_COLUMNS, as_bytes, read_item_ids, sha256_of_rows
from iisan_core.config.schema import validated
from iisan_core.errors import IisanError, RefusedError
from iisan_core.files import read_json, replacing, seal, write_json


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Within the block, no other process writes to the cache `folder`, nor does another extraction of this one.

    The lock lies beside the folder, which may be removed and made anew meanwhile. The operating system lets it go
    when its process ends, however it ends, so that nothing has to be cleared away after a kill.

    Raises `RefusedError` naming the process that is at work there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    owner = folder.with_name(f".{folder.name}.owner.json")
    with _locked(_beside(folder, "lock"), lambda: f"{_said_by(owner)} is extracting into {folder}"):
        for straggler in sorted(folder.parent.glob(_beside(folder, "rank*.lock").name)):
            with _locked(straggler, lambda: f"a process of an extraction that broke off still writes to {folder}"):
                pass
        try:
            write_json(owner, _myself())
            yield
        finally:
            owner.unlink(missing_ok=True)


@contextmanager
def one_of_several(folder: Path, rank: int) -> Iterator[None]:
    """Within the block, this process writes to `folder` beside the one that has it by `only_one`.

    So that, should that one end first, nobody else begins before this one has ended, too.
    """
    with _locked(_beside(folder, f"rank{rank}.lock"), lambda: f"another process of rank {rank} writes to {folder}"):
        yield


@contextmanager
def _locked(path: Path, otherwise: Callable[[], str]) -> Iterator[None]:
    lock = FileLock(path, blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise RefusedError(f"{otherwise()}; wait until it is done, or stop it and run the same again") from None
    try:
        yield
    finally:
        lock.release()


def _beside(folder: Path, ending: str) -> Path:
    return folder.with_name(f".{folder.name}.{ending}")


def _myself() -> dict[str, object]:
    return {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def _said_by(owner: Path) -> str:
    try:
        facts = read_json(owner, what="lock owner")
        return f"process {facts['pid']} on {facts['host']} (since {facts['since']})"
    except (RefusedError, KeyError, TypeError):  # it has the lock and has not yet said so
        return "another process"


class CacheWriter:
    """An unfinished cache folder: knows which shards are done, takes the others, and finishes.

    `plan` is the manifest to be; its `shards` are those of a complete cache in this folder that gets further rows, and
    none for a new cache. Finished shards of an earlier, killed extraction with the same plan are kept if their bytes
    are whole; anything else in a new cache's folder is replaced. One writer per folder at a time (see
    `iisan_core.cache.writer`) makes it ready and finishes it; further ones with `joins` write shards of it.

    Raises `IisanError` if the disk is full, or if a folder to join is ready for another plan.
    """

    def __init__(self, folder: Path, plan: CacheManifest, *, joins: bool = False) -> None:
        self.folder = folder
        self.plan = plan
        self.first = plan.shards[-1].stop if plan.shards else 0
        """The first row to write."""
        self._work = folder / APPEND if plan.shards else folder
        ready = (folder / STATES).is_file() and _same_work(self._work, plan)
        if joins and not ready:
            raise IisanError(
                f"the cache {folder} is not what this process would write: it has another dataset, backbone or "
                "settings than the first process; give all of them the same, on a file system that they share"
            )
        if not ready:
            self._start_anew()
        if not joins:
            self._clear_away()
        self.finished = self._records()
        """Shard → its journal entry, as of when this was made, and this writer's own ones since."""

    @property
    def unfinished(self) -> list[int]:
        """Numbers of the shards still to be written."""
        shards = -(-(self.plan.items - self.first) // self.plan.shard_size)
        return [shard for shard in range(shards) if shard not in self.finished]

    def journalled(self) -> set[int]:
        """Numbers of the shards that are finished by now, whoever wrote them."""
        return {int(path.stem) for path in (self._work / SHARDS).glob("*.json")}

    def count(self, shards: Iterable[int]) -> int:
        """Rows of these shards together."""
        return sum(len(self.rows(shard)) for shard in shards)

    def rows(self, shard: int) -> range:
        """A shard's places among the rows to write: 0 is the row `first` of the cache."""
        start = shard * self.plan.shard_size
        return range(start, min(start + self.plan.shard_size, self.plan.items - self.first))

    def write(self, shard: int, states: Tensor, problems: Mapping[int, str]) -> None:
        """Store the rows of a shard, `[rows, ΣD]` in the stored dtype, and note it as finished.

        `problems`: place among the rows to write → why its input could not be read. Raises `IisanError` if the disk
        is full; other shards stay whole.
        """
        rows = self.rows(shard)
        start = self.first + rows.start
        raw = as_bytes(states)
        assert len(raw) == len(rows) * self.plan.row_bytes
        record = ShardRecord(
            start=start, stop=start + len(rows), sha256=hashlib.sha256(raw).hexdigest(), problems=dict(problems)
        )
        with self._disk_in_words(), (self.folder / STATES).open("r+b") as stream:
            stream.seek(start * self.plan.row_bytes)
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())  # the note below must never be older than the rows it vouches for
            write_json(self._journal(shard), record.model_dump(mode="json"))
        self.finished[shard] = record

    def finish(self, inputs: CatalogueInputs) -> CacheManifest:
        """Write the item ids and the complete manifest; the journal has done its work and goes.

        `inputs`: of the rows that were to write.
        """
        self.finished = self._records()
        assert not self.unfinished
        with self._disk_in_words():
            self._write_item_ids(inputs)
        new = tuple(Shard(start=r.start, stop=r.stop, sha256=r.sha256) for _, r in sorted(self.finished.items()))
        manifest = self.plan.model_copy(update={"shards": self.plan.shards + new, "complete": True})
        with self._disk_in_words():
            write_manifest(manifest, self.folder)
        for name in (SHARDS, APPEND):
            shutil.rmtree(self.folder / name, ignore_errors=True)
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
            schema=ITEM_COLUMNS,
        )
        before = [read_item_ids(self.folder, rows=self.first)] if self.first else []
        with replacing(self.folder / ITEM_IDS) as temporary:
            pl.concat([*before, table], rechunk=True).write_parquet(temporary)

    def _start_anew(self) -> None:
        (self._work / MANIFEST).unlink(missing_ok=True)  # nobody shall take what is left for a cache
        # An append's folder stays: it explains the rows that an earlier, killed append left behind the last one.
        shutil.rmtree(self._work / SHARDS if self.first else self._work, ignore_errors=True)
        (self._work / SHARDS).mkdir(parents=True)
        if not self.first:
            seal(self.folder)
        self._allocate(self.first * self.plan.row_bytes, self.plan.items * self.plan.row_bytes)
        write_manifest(self.plan, self._work)

    def _allocate(self, start: int, stop: int) -> None:
        """Take the room for all new rows now, so that a full disk shows before hours of work, not after."""
        path = self.folder / STATES
        try:
            with path.open("r+b" if start else "wb") as stream:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(stream.fileno(), start, stop - start)
                stream.truncate(stop)
        except OSError as error:
            if start:
                os.truncate(path, start)
            shutil.rmtree(self._work)
            free = shutil.disk_usage(self.folder.parent).free
            raise IisanError(
                f"the cache {self.folder} needs {stop - start:,} bytes, {free:,} are free there ({error.strerror}); "
                "make room, keep fewer layers, or choose another place"
            ) from None

    @contextmanager
    def _disk_in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            free = shutil.disk_usage(self.folder).free
            raise IisanError(
                f"the cache {self.folder} cannot be written: {error.strerror}, {free:,} bytes are free there; make "
                "room and run the same again, what is finished is kept"
            ) from error

    def _clear_away(self) -> None:
        """Remove files that a killed extraction was writing, and notes of shards whose bytes are no longer whole."""
        for leftover in [*self.folder.glob(".*.tmp"), *(self._work / SHARDS).glob(".*.tmp")]:
            leftover.unlink()
        for shard, record in self._records().items():
            if sha256_of_rows(self.folder / STATES, record, row_bytes=self.plan.row_bytes) != record.sha256:
                self._journal(shard).unlink()

    def _records(self) -> dict[int, ShardRecord]:
        paths = {shard: self._journal(shard) for shard in sorted(self.journalled())}
        return {
            shard: validated(ShardRecord, read_json(path, what="shard record"), where=str(path))
            for shard, path in paths.items()
        }

    def _journal(self, shard: int) -> Path:
        return self._work / SHARDS / f"{shard:05}.json"


def _same_work(folder: Path, plan: CacheManifest) -> bool:
    """Whether `folder` holds an unfinished extraction of exactly this plan (versions and places aside)."""
    if not (folder / MANIFEST).is_file():
        return False
    begun = read_manifest(folder)
    aside = {name: getattr(begun, name) for name in ("libraries", "backbone", "dataset_folder")}
    return begun == plan.model_copy(update=aside)
