"""Thousands of spoilt files through every importer: a dataset or a sentence, never a traceback, a hang or a half."""

from __future__ import annotations

import bz2
import gzip
import random
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportRequest
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from tests.data_tools.importers.test_round_trip import OF_LINES, WRITERS

IDS = [f"i{n}" for n in range(6)]
TITLES = ["Tea & cup", 'Monitor 27" black', "one, two", "<b>Bold</b>", "caf\u00e9", ""]
BYTES = [
    b'"',
    b"\\",
    b"\0",
    b"\n",
    b"\r",
    b"\t",
    b",",
    b"::",
    b"\xff",
    b"\xef\xbb\xbf",
    b"{",
    b"]",
    b"nan",
    b"-1",
    b"1e9",
]
SOURCES = {name: write(IDS, TITLES) for name, write in {**WRITERS, **OF_LINES}.items()}
"""Name with ending → kind, catalogue, log."""


def cut(chance: random.Random, raw: bytes) -> bytes:
    return raw[: chance.randrange(len(raw) + 1)]


def inserted(chance: random.Random, raw: bytes) -> bytes:
    place = chance.randrange(len(raw) + 1)
    return raw[:place] + chance.choice(BYTES) + raw[place:]


def flipped(chance: random.Random, raw: bytes) -> bytes:
    spoilt = bytearray(raw)
    for _ in range(chance.randrange(1, 4)):
        if spoilt:
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
    return bytes(spoilt)


def without_a_part(chance: random.Random, raw: bytes) -> bytes:
    first, last = sorted(chance.randrange(len(raw) + 1) for _ in range(2))
    return raw[:first] + raw[last:]


def lines_in_disorder(chance: random.Random, raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)
    chance.shuffle(lines)
    return b"".join(lines + lines[: chance.randrange(3)])


def another_separator(chance: random.Random, raw: bytes) -> bytes:
    return raw.replace(chance.choice([b",", b"\t", b"::", b'"']), chance.choice([b";", b"|", b",", b"\t", b""]))


def another_encoding(chance: random.Random, raw: bytes) -> bytes:
    return raw.decode(errors="replace").encode(chance.choice(["utf-16", "utf-16-le", "utf-8-sig", "cp1252"]), "replace")


def packed(chance: random.Random, raw: bytes) -> bytes:
    whole = chance.choice([gzip.compress, bz2.compress])(raw)
    return whole if chance.random() < 0.5 else flipped(chance, cut(chance, whole))


def random_bytes(chance: random.Random, raw: bytes) -> bytes:
    return chance.randbytes(chance.randrange(200))


SPOILERS: list[Callable[[random.Random, bytes], bytes]] = [
    cut, inserted, flipped, without_a_part, lines_in_disorder, another_separator, another_encoding, packed,
    random_bytes,
]  # fmt: skip


def spoilt(chance: random.Random, raw: bytes) -> bytes:
    for _ in range(chance.randrange(1, 4)):
        raw = chance.choice(SPOILERS)(chance, raw)
    return raw


def assert_a_dataset_or_a_sentence(kind: str, items: Path, log: Path, out: Path) -> None:
    try:
        IMPORTERS[kind](ImportRequest(items=items, interactions=log, out=out))
    except RefusedError as refusal:
        said = str(refusal)
        assert not out.exists()
        assert items.name in said or log.name in said or "none of the" in said or "is empty" in said
    else:
        Dataset.load(out)
    assert [path.name for path in out.parent.glob(".*")] == []


def spoil_and_import(name: str, folder: Path, seeds: range) -> None:
    kind, *texts = SOURCES[name]
    for seed in seeds:
        chance = random.Random(f"{name} {seed}")
        place = folder / str(seed)
        place.mkdir()
        raw = [text.encode() for text in texts]
        if chance.random() < 0.1:
            raw.reverse()
        spoil = chance.randrange(3)
        for which, part in enumerate(("items", "log")):
            content = raw[which] if spoil == which else spoilt(chance, raw[which])
            (place / f"{part}{Path(name).suffix}").write_bytes(content)
        files = (place / f"{part}{Path(name).suffix}" for part in ("items", "log"))
        try:
            assert_a_dataset_or_a_sentence(kind, *files, place / "out")
        except Exception as error:
            raise AssertionError(f"{name}, seed {seed}") from error


@pytest.mark.parametrize("name", SOURCES)
def test_some_spoilt_files(name, tmp_path):
    spoil_and_import(name, tmp_path, range(60))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("thousand", range(10))
@pytest.mark.parametrize("name", SOURCES)
def test_ten_thousand_spoilt_files(name, thousand, tmp_path):
    spoil_and_import(name, tmp_path, range(1000 * thousand, 1000 * (thousand + 1)))


def spoilt_tables(chance: random.Random, folder: Path) -> tuple[Path, Path]:
    """A catalogue and a log in Parquet, whose columns are of any type, or whose bytes are spoilt."""
    values = [
        pl.Series(["a", "b", "c"]),
        pl.Series([1, 2, 3]),
        pl.Series([1.5, None, float("nan")]),
        pl.Series([b"a", b"\xff", None]),
        pl.Series([["a"], [], None]),
        pl.Series([{"x": 1}, None, {"x": 2}]),
        pl.Series([True, False, None]),
        pl.Series([None, None, None]),
        pl.Series(["a", "b", "a"], dtype=pl.Categorical),
        pl.Series([1, 2, 3]).cast(pl.Date),
        pl.Series([1, 2, 3]).cast(pl.Duration("ms")),
        pl.Series([1, 2, 3]).cast(pl.Decimal(10, 2)),
        pl.Series([1, 2, 3]).cast(pl.Time),
        pl.Series([1_600_000_000, 2, 2**62]),
    ]
    files = []
    for part, names in (("items", ("item_id", "title")), ("log", ("user_id", "item_id", "timestamp"))):
        path = folder / f"{part}.parquet"
        pl.DataFrame([chance.choice(values).alias(name) for name in names]).write_parquet(path)
        if chance.random() < 0.2:
            path.write_bytes(spoilt(chance, path.read_bytes()))
        files.append(path)
    return files[0], files[1]


def import_spoilt_tables(folder: Path, seeds: range) -> None:
    for seed in seeds:
        place = folder / str(seed)
        place.mkdir()
        files = spoilt_tables(random.Random(seed), place)
        try:
            assert_a_dataset_or_a_sentence("table", *files, place / "out")
        except Exception as error:
            raise AssertionError(f"Parquet, seed {seed}") from error


def test_some_spoilt_tables(tmp_path):
    import_spoilt_tables(tmp_path, range(200))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_spoilt_tables(tmp_path):
    import_spoilt_tables(tmp_path, range(10_000))
