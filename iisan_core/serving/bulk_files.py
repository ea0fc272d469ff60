"""Recommendations for everybody, in one file: made in parts that outlast whoever makes them, then joined in one step.

Beside the file, in a hidden folder, lie the parts that are ready: a part is a stretch of users, and is whole or absent,
also after a crash of the machine. The folder says by a digest which order it belongs to; parts of another are thrown
away. So whoever is killed at any moment, and runs again, ends with the file that an undisturbed run would have written.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from iisan_core.computing.processes import ALONE, ProcessGroup
from iisan_core.data.sequences import PADDING
from iisan_core.errors import RefusedError
from iisan_core.files import flushed, read_json, replacing, write_json
from iisan_core.serving.bulk import Answers, Order

ROWS_OF_A_PART = 2**20
"""Rows that a part has at most, about; it is held in memory."""

MOST_USERS, LEAST_USERS = 2**13, 2**4
"""Users of a part: enough to be quick, few enough to lose little."""

ORDER = "order.json"
FORMAT = 1


@dataclass(frozen=True)
class BulkProgress:
    """How far a file of recommendations is."""

    done: int
    """Users whose answers are kept."""
    total: int
    path: Path | None = None
    """The file, when it is there."""


def write_order(order: Order, out: Path, *, processes: ProcessGroup = ALONE) -> Iterator[BulkProgress]:
    """Answer everybody in `order` into a `.parquet`, `.csv` or `.jsonl` file; yields as parts are done.

    Each of several processes makes a share of the parts, and the first one joins them. What a run that was killed had
    made is used. A file that is there already is replaced when the new one is whole. Raises `RefusedError` for another
    ending, or while another process writes to the same file.
    """
    if out.suffix.lower() not in WRITERS:
        raise RefusedError(f"--out {out}: write to a file that ends in {', '.join(WRITERS)}")
    if out.is_dir():
        raise RefusedError(f"cannot write {out}: it is a folder; give the name of a file")
    folder = PartFolder(out.with_name(f".{out.name}.parts"), order)
    with folder.prepared(processes):
        done = folder.users_in(set(range(folder.count)) - set(folder.missing))
        mine = processes.share(folder.missing)
        yield BulkProgress(done, len(order))
        processes.wait()  # until all know what is missing, nobody makes it
        for number in mine:
            folder.make(number)
            done += processes.count * folder.users_in([number])  # the others are about as far
            yield BulkProgress(min(done, len(order)), len(order))
        processes.wait()
        if processes.leads:
            folder.join(out)
        processes.wait()
    yield BulkProgress(len(order), len(order), out)


class PartFolder:
    """The parts of an order that are ready, and how they become one file."""

    def __init__(self, path: Path, order: Order) -> None:
        self._path = path
        self._order = order
        self._users = int(np.clip(ROWS_OF_A_PART // order.width, LEAST_USERS, MOST_USERS))
        self.count = -(-len(order) // self._users)
        self.missing: list[int] = []
        """Parts that were not there when the work began."""

    @contextmanager
    def prepared(self, processes: ProcessGroup) -> Iterator[None]:
        """Within the block the folder holds nothing but parts of this order, and the first process has it locked.

        It is gone afterwards if the block succeeds.
        """
        digest = self._order.digest()
        lock = FileLock(self._path.with_name(f"{self._path.name}.lock"), blocking=False, thread_local=False)
        if processes.leads:
            self._lock(lock)
        try:
            if processes.leads:
                self._clear_others(digest)
            processes.wait()
            self.missing = [number for number in range(self.count) if self._read(number) is None]
            yield
            if processes.leads:
                shutil.rmtree(self._path)
        finally:
            if processes.leads:
                lock.release()
                Path(lock.lock_file).unlink(missing_ok=True)

    def _lock(self, lock: FileLock) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise RefusedError(
                f"another process writes recommendations to {self._path.parent}, by way of {self._path.name}; wait "
                "until it is done, or choose another file"
            ) from None

    def _clear_others(self, digest: str) -> None:
        if self._path.is_symlink():
            raise RefusedError(f"{self._path} is a link; remove it, for parts are kept in a folder of that name")
        wanted = {"format": FORMAT, "order": digest}
        try:
            same = read_json(self._path / ORDER, what="order of recommendations") == wanted
        except RefusedError:
            same = False
        if not same:
            shutil.rmtree(self._path, ignore_errors=True)
            self._path.mkdir()
            write_json(self._path / ORDER, wanted)

    def users_in(self, numbers: Sequence[int] | set[int]) -> int:
        """How many users some parts have."""
        return sum(len(self._rows(number)) for number in numbers)

    def make(self, number: int) -> None:
        """Answer the users of a part and keep it: it is on the disk before it has its name."""
        answers = self._order.answers(self._rows(number))
        arrays: dict[str, Any] = {"numbers": answers.numbers, "scores": answers.scores}
        if answers.parts is not None:
            arrays["parts"] = answers.parts
        with replacing(self._place(number)) as temporary:
            save_file(arrays, temporary)
            flushed(temporary)
        flushed(self._path)

    def join(self, out: Path) -> None:
        """All parts as one file, which takes its place in one step."""
        whole = self._path / "whole"
        with whole.open("wb") as stream:
            WRITERS[out.suffix.lower()](self._order, self._parts(), stream)
        flushed(whole)
        whole.replace(out)
        flushed(out.parent)

    def _parts(self) -> Iterator[tuple[range, Answers]]:
        for number in range(self.count):
            answers = self._read(number)
            if answers is None:
                raise RefusedError(f"{self._place(number)} is gone or damaged; run the same again to make it anew")
            yield self._rows(number), answers

    def _rows(self, number: int) -> range:
        return range(number * self._users, min(len(self._order), (number + 1) * self._users))

    def _place(self, number: int) -> Path:
        return self._path / f"{number:06}.safetensors"

    def _read(self, number: int) -> Answers | None:
        """A part as it was kept; None where it is absent, or not what it should be."""
        try:
            found = load_file(self._place(number))
        except (OSError, SafetensorError):
            return None
        shape = (len(self._rows(number)), self._order.width)
        wanted: dict[str, tuple[tuple[int, ...], str]] = {"numbers": (shape, "int32"), "scores": (shape, "float32")}
        if self._order.parts is not None:
            wanted["parts"] = ((*shape, len(self._order.part_names)), "float32")
        if {name: (array.shape, str(array.dtype)) for name, array in found.items()} != wanted:
            return None
        numbers = found["numbers"]
        if numbers.size and not 0 <= numbers.min() <= numbers.max() <= len(self._order.item_ids):
            return None
        return Answers(numbers, found["scores"], found.get("parts"))


Parts: TypeAlias = Iterator[tuple[range, Answers]]

LARGEST_DICTIONARY = 2**26
"""Bytes of the ids of a row group; where they take more, every row has its own."""


def _as_parquet(order: Order, parts: Parts, stream: IO[bytes]) -> None:
    """A row group a part; ids are written once a group, by their numbers."""
    floats = ["score", *order.part_names]
    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [("user_id", text), ("rank", pa.int32()), ("item_id", text), *((name, pa.float32()) for name in floats)]
    )
    with pq.ParquetWriter(
        stream,
        schema,
        use_dictionary=["user_id", "rank", "item_id"],
        dictionary_pagesize_limit=LARGEST_DICTIONARY,
        compression="zstd",
        compression_level=1,
        store_schema=False,  # else readers get categories, not texts
    ) as writer:
        for rows, answers in parts:
            writer.write_table(_as_table(order, rows, answers, schema))


def _as_table(order: Order, rows: range, answers: Answers, schema: pa.Schema) -> pa.Table:
    there = answers.numbers != PADDING
    row, place = np.nonzero(there)
    columns = [
        pa.DictionaryArray.from_arrays(row.astype(np.int32), _texts(order.users[rows.start : rows.stop])),
        (place + 1).astype(np.int32),
        _by_number(answers.numbers[there], order),
        answers.scores[there],
        *(answers.parts[..., n][there] for n in range(len(order.part_names)) if answers.parts is not None),
    ]
    return pa.table([pa.array(column) for column in columns], schema=schema)


def _by_number(numbers: Any, order: Order) -> pa.DictionaryArray:
    """Item ids of which only those that occur are written."""
    occurs = np.zeros(len(order.item_ids) + 1, dtype=bool)
    occurs[numbers] = True
    place = (occurs.cumsum() - 1).astype(np.int32)
    ids = order.item_ids.gather(np.flatnonzero(occurs) - 1)
    return pa.DictionaryArray.from_arrays(place[numbers], _texts(ids))


def _texts(column: pl.Series) -> pa.Array:
    return pa.array(column.to_list(), type=pa.string())


def _as_csv(order: Order, parts: Parts, stream: IO[bytes]) -> None:
    for number, (rows, answers) in enumerate(parts):
        order.frame(rows, answers).write_csv(stream, include_header=number == 0)


def _as_lines(order: Order, parts: Parts, stream: IO[bytes]) -> None:
    for rows, answers in parts:
        order.frame(rows, answers).write_ndjson(stream)


WRITERS: dict[str, Callable[[Order, Parts, IO[bytes]], None]] = {
    ".parquet": _as_parquet,
    ".csv": _as_csv,
    ".jsonl": _as_lines,
}
