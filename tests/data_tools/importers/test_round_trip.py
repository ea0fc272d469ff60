"""Random texts through every importer come out as they went in, but for the cleaning that `data_tools.text` tells."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportOptions, ImportRequest
from data_tools.text import SAYS_NOTHING, clean_text
from iisan_core.errors import RefusedError

ODD = st.sampled_from(
    ['"', "'", "\\", "<b>", "</b>", "<br>", "&amp;", "&sect", "\t", "\n", "\r", ",", ";", "::", "\0", "x"]
)
TEXTS = st.lists(
    st.one_of(st.text(max_size=20), st.lists(ODD, max_size=12).map("".join), st.sampled_from(["nan", "", " "])),
    min_size=1,
    max_size=6,
)
SECOND = 1_600_000_000


def separated(rows: Sequence[Sequence[str]], *, separator: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=separator, quoting=quoting, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def plain(rows: Sequence[Sequence[str]], separator: str = "\t") -> str:
    return "".join(separator.join(row) + "\n" for row in rows)


def json_lines(records: Sequence[dict[str, object]], *, ascii_only: bool = True) -> str:
    return "".join(json.dumps(record, ensure_ascii=ascii_only) + "\n" for record in records)


def log_of(ids: Sequence[str]) -> list[tuple[str, str, str]]:
    return [("u", item_id, str(SECOND + n)) for n, item_id in enumerate(ids)]


def table_csv(ids: list[str], titles: list[str], **how: object) -> tuple[str, str, str]:
    rows = [("item_id", "title"), *zip(ids, titles, strict=True)]
    return "table", separated(rows, **how), separated([("user_id", "item_id", "timestamp"), *log_of(ids)], **how)  # type: ignore[arg-type]


def amazon(kind: str, ids: list[str], titles: list[str]) -> tuple[str, str, str]:
    item, user, time, factor = ("asin", "reviewerID", "unixReviewTime", 1)
    if kind == "amazon-2023":
        item, user, time, factor = ("parent_asin", "user_id", "timestamp", 1000)
    meta = [{item: i, "title": t} for i, t in zip(ids, titles, strict=True)]
    reviews = [{user: u, item: i, time: int(t) * factor} for u, i, t in log_of(ids)]
    return kind, json_lines(meta), json_lines(reviews, ascii_only=False)


def python_dictionaries(ids: list[str], titles: list[str]) -> tuple[str, str, str]:
    meta = "".join(f"{ {'asin': i, 'title': t}!r}\n" for i, t in zip(ids, titles, strict=True))
    return "amazon-2014", meta, amazon("amazon-2014", ids, titles)[2]


WRITERS: dict[str, Callable[[list[str], list[str]], tuple[str, str, str]]] = {
    "table.csv": table_csv,
    "table, all quoted.csv": lambda i, t: table_csv(i, t, quoting=csv.QUOTE_ALL),
    "table.tsv": lambda i, t: table_csv(i, t, separator="\t"),
    "table.jsonl": lambda i, t: (
        "table",
        json_lines([{"item_id": a, "title": b} for a, b in zip(i, t, strict=True)]),
        json_lines([{"user_id": u, "item_id": a, "timestamp": int(s)} for u, a, s in log_of(i)]),
    ),
    "movielens.csv": lambda i, t: (
        "movielens",
        separated([("movieId", "title", "genres"), *((a, b, "X") for a, b in zip(i, t, strict=True))]),
        separated([("userId", "movieId", "rating", "timestamp"), *((u, a, "5", s) for u, a, s in log_of(i))]),
    ),
    "microlens.csv": lambda i, t: (
        "microlens",
        separated([("item", "title"), *zip(i, t, strict=True)]),
        separated([("user", "item", "timestamp"), *log_of(i)]),
    ),
    "amazon-2014.json": python_dictionaries,
    "amazon-2018.json": lambda i, t: amazon("amazon-2018", i, t),
    "amazon-2023.json": lambda i, t: amazon("amazon-2023", i, t),
}
"""Writers of files that can hold any text."""
OF_LINES: dict[str, Callable[[list[str], list[str]], tuple[str, str, str]]] = {
    "iisan.tsv": lambda i, t: ("iisan-tsv", plain(list(zip(i, t, strict=True))), f"u\t{' '.join(i)}\n"),
    "plain.tsv": lambda i, t: (
        "table",
        plain([("item_id", "title", "brand"), *((a, b, "B") for a, b in zip(i, t, strict=True))]),
        plain([("user_id", "item_id", "timestamp"), *log_of(i)]),
    ),
    "recbole.inter": lambda i, t: (
        "recbole",
        plain([("item_id:token", "title:token_seq"), *zip(i, t, strict=True)]),
        plain([("user_id:token", "item_id:token", "timestamp:float"), *log_of(i)]),
    ),
    "movielens.dat": lambda i, t: (
        "movielens",
        plain([(a, b, "X") for a, b in zip(i, t, strict=True)], "::"),
        plain([(u, a, "5", s) for u, a, s in log_of(i)], "::"),
    ),
}
"""Writers of files in which a text is what stands between two separators of a line."""


def imported(name: str, written: tuple[str, str, str], **options: str) -> pl.DataFrame:
    kind, items, log = written
    ending = Path(name).suffix
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / f"items{ending}").write_bytes(items.encode())
        (place / f"log{ending}").write_bytes(log.encode())
        request = ImportRequest(
            items=place / f"items{ending}",
            interactions=place / f"log{ending}",
            out=place / "out",
            options=ImportOptions(**options),
        )
        dataset = IMPORTERS[kind](request)
        assert dataset.interactions.height == dataset.items.height
        return dataset.items


def cleaned(text: str) -> str | None:
    title = clean_text(text)
    return None if title in SAYS_NOTHING else title or None


def as_they_went_in(name: str, write: Callable[..., tuple[str, str, str]], titles: list[str]) -> None:
    """A small file may be read in two ways; then it is refused, and right when told which."""
    written = write([f"i{n}" for n in range(len(titles))], titles)
    try:
        items = imported(name, written)
    except RefusedError as refusal:
        assert "say which by --quoting double or --quoting none" in str(refusal), str(refusal)
        items = imported(name, written, quoting="double" if name in WRITERS else "none")
    assert items["title"].to_list() == [cleaned(title) for title in titles]


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=60, deadline=None)
@given(titles=TEXTS)
@example(titles=['"', '12" x', '"a"', '""', ',"', '",'])
@example(titles=['a\n"b",c', 'say "yes', 'say no"', "\\", '\\"', "\\n"])
@example(titles=["\t", "\x07", "\ufeff", "\u200d", "Sofa&sectional", "<3", "a<b>c</b>", "\u2028"])
def test_any_text(name, titles):
    if name == "table.tsv":  # lines with as many tabs as the table has are lines of the table: TSV knows no quotes
        titles = [title.replace("\t", " ") if "\n" in title else title for title in titles]
    as_they_went_in(name, WRITERS[name], titles)


@pytest.mark.parametrize("name", OF_LINES)
@settings(max_examples=60, deadline=None)
@given(titles=TEXTS)
@example(titles=['"Say yes', "x", 'say no"'])
@example(titles=['12" x', '"a"', '"', '"'])
def test_any_text_between_separators(name, titles):
    spoilt = str.maketrans({"\t": " ", "\n": " ", "\r": " "})
    titles = [title.translate(spoilt) for title in titles]
    if name == "movielens.dat":  # a colon beside the separator belongs to nobody
        titles = [title.strip(":").replace(":::", "::") for title in titles]
    as_they_went_in(name, OF_LINES[name], titles)


@pytest.mark.parametrize("kind", ["amazon-2018", "amazon-2023"])
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), address=st.text(max_size=10))
def test_lists_inside_of_json(kind, texts, address):
    ids = [f"i{n}" for n in range(len(texts))]
    item = "parent_asin" if kind == "amazon-2023" else "asin"
    link = "https://x.example/" + "".join(address.split())
    pictures = {"images": [{"variant": "MAIN", "large": link}]} if kind == "amazon-2023" else {"imageURL": [link]}
    meta = json_lines([{item: i, "description": list(t)} | pictures for i, t in zip(ids, texts, strict=True)])
    items = imported("meta.json", (kind, meta, amazon(kind, ids, ids)[2]))
    assert items["description"].to_list() == [clean_text(" ".join(text)) or None for text in texts]
    assert items["image_url"].to_list() == [link] * len(ids)


@settings(max_examples=60, deadline=None)
@given(titles=TEXTS)
def test_lists_inside_of_parquet(titles):
    with tempfile.TemporaryDirectory() as folder:
        items, log = Path(folder) / "items.parquet", Path(folder) / "log.parquet"
        pl.DataFrame(
            {"item_id": ["a"], "title": [titles]}, schema={"item_id": pl.String, "title": pl.List(pl.String)}
        ).write_parquet(items)
        pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [1]}).write_parquet(log)
        dataset = IMPORTERS["table"](ImportRequest(items=items, interactions=log, out=Path(folder) / "out"))
    assert dataset.items["title"].to_list() == [cleaned(" ".join(titles))]


IDS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cf", "Zs", "Zl", "Zp")), min_size=1, max_size=8)


@pytest.mark.parametrize("name", [*WRITERS, *OF_LINES])
@settings(max_examples=40, deadline=None)
@given(ids=st.lists(IDS, min_size=1, max_size=6, unique=True))
def test_any_id(name, ids):
    """Ids come out as they went in, or are refused with file and line."""
    write = {**WRITERS, **OF_LINES}[name]
    if name == "movielens.dat":  # a colon beside the separator belongs to nobody
        ids = list(dict.fromkeys(item.replace(":", "") or "x" for item in ids))
    try:
        items = imported(name, write(ids, [f"T{n}" for n in range(len(ids))]))
    except RefusedError as refusal:
        assert "; " in str(refusal) or "expected" in str(refusal)
    else:
        assert items["item_id"].to_list() == ids
