"""Which picture of a folder or archive belongs to which item, however people lay them out.

An item's picture is named by the catalogue's column `image`, else by the item's id. The name may lack its ending or its
folders, differ in capitals or in leading zeros, stand behind a web address or before other names; or the item has a
folder with one picture. Where several pictures fit equally well, none is guessed at.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

import polars as pl

from data_tools.images import SUFFIXES, open_images
from iisan_core.errors import RefusedError

FEW = 0.5
"""Share of items with a picture below which an import warns."""
MANY = 0.01
"""Share of items with several pictures from which an import is refused; fewer go without."""
EXAMPLES = 3

logger = logging.getLogger(__name__)


@dataclass
class NamedPictures:
    """What was found for the items, in their order."""

    names: list[str | None] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    """Item → pictures that fit it equally well."""


def find_pictures(wanted: Iterable[tuple[str, Sequence[str]]], pictures: Iterable[str]) -> NamedPictures:
    """For every item and what its picture may be called, the one picture that fits best.

    What an item is called exactly is its own before others are compared with it loosely; and a folder's name, or what
    stands before a number, counts only where no picture at all is named after an item.
    """
    items = list(wanted)
    left = [name for name in pictures if not _is_shadow(name)]
    fitting: dict[int, list[str]] = {}
    for ways in (EXACT, LOOSE, APART):
        if ways is APART and fitting:
            break
        lookups = [(of_name, _index(left, of_picture)) for of_name, of_picture in ways]
        for place, (_, names) in enumerate(items):
            if place not in fitting:
                found = next((f for n in names for key, index in lookups if key(n) and (f := index.get(key(n)))), None)
                fitting |= {place: found} if found else {}
        taken = {name for names in fitting.values() for name in names}
        left = [name for name in left if name not in taken]
    named = [fitting.get(place, []) for place in range(len(items))]
    several = {item_id: sorted(fits) for (item_id, _), fits in zip(items, named, strict=True) if len(fits) > 1}
    return NamedPictures([fits[0] if len(fits) == 1 else None for fits in named], several)


def name_pictures(items: pl.DataFrame, pictures: Mapping[str, bytes]) -> pl.DataFrame:
    """Fill the column `image` with names in `pictures`; one that is not found stays what it was."""
    return _named(items, find_pictures(_wanted(items), pictures)) if pictures else items


def with_pictures(items: pl.DataFrame, images: Path | None) -> tuple[pl.DataFrame, Mapping[str, bytes]]:
    """The items with their pictures named, and the pictures of the folder or zip `images`.

    Raises `RefusedError` if it holds none, none fits, or several fit equally well.
    """
    if images is None:
        return items, {}
    pictures = open_images(images)
    names = list(pictures)
    found = find_pictures(_wanted(items), [*names, *_named_directly(items, pictures, known=set(names))])
    asked = [name for name in items["image"] if name] if "image" in items.columns else items["item_id"].to_list()
    _refuse_ambiguous(images, found, asked=len(asked))
    count = sum(name is not None for name in found.names)
    if asked and not count:
        raise RefusedError(f"{images}: {_why_none(images, names)}; {_remedy(asked, names)}")
    if count < FEW * len(asked):
        logger.warning(
            "%s: only %d of %d items have a picture there; pictures are named such as %s, items such as %s",
            images,
            count,
            len(asked),
            _quoted(names),
            _quoted(asked),
        )
    return _named(items, found), pictures


def _wanted(items: pl.DataFrame) -> Iterator[tuple[str, Sequence[str]]]:
    if "image" in items.columns:
        yield from ((item_id, _written(name or "")) for item_id, name in items.select("item_id", "image").iter_rows())
    else:
        yield from ((item_id, (item_id,)) for item_id in items["item_id"])


def _written(name: str) -> list[str]:
    """What a cell of the column `image` may mean: itself, the path of an address, the first of several names."""
    if not name:
        return []
    first = name.split("|")[0].strip()
    path = unquote(urlsplit(first).path) if "://" in first else first
    return list(dict.fromkeys([name, first, path.replace("\\", "/").lstrip("/")]))


def _named(items: pl.DataFrame, found: NamedPictures) -> pl.DataFrame:
    before: Sequence[str | None] = items["image"].to_list() if "image" in items.columns else [None] * items.height
    names = [name or was for name, was in zip(found.names, before, strict=True)]
    return items.with_columns(image=pl.Series(names, dtype=pl.String))


def _named_directly(items: pl.DataFrame, pictures: Mapping[str, bytes], *, known: set[str]) -> list[str]:
    """Names in the catalogue of files that are there, though their ending is none of a picture."""
    if "image" not in items.columns:
        return []
    return [name for name in items["image"].drop_nulls().unique() if name not in known and name in pictures]


def _is_shadow(name: str) -> bool:
    """What macOS leaves beside every file."""
    path = PurePosixPath(name)
    return path.name.startswith("._") or "__MACOSX" in path.parts


def _index(pictures: Sequence[str], key: Callable[[str], str]) -> Mapping[str, list[str]]:
    index: dict[str, list[str]] = defaultdict(list)
    for name in pictures:
        index[key(name)].append(name)
    return dict(index)


def _file(name: str) -> str:
    return PurePosixPath(name).name


def _stem(name: str) -> str:
    """The last part, without the ending of a picture; an id may hold points."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _number(text: str) -> str:
    """A whole number without leading zeros; empty for other texts."""
    return str(int(text)) if text.isascii() and text.isdigit() else ""


def _begin(stem: str) -> str:
    """What stands before the number of a picture among several, as in `B01_2`; empty where there is none."""
    for mark in ("_", "-", "."):
        before, _, after = stem.rpartition(mark)
        if before and after.isdigit():
            return before
    return ""


Keys: TypeAlias = tuple[Callable[[str], str], Callable[[str], str]]
EXACT: tuple[Keys, ...] = ((str, str), (_file, _file), (_stem, _stem))
"""What of an item's name is compared with what of a picture's, the surest first."""
LOOSE: tuple[Keys, ...] = (
    (lambda name: _file(name).casefold(), lambda name: _file(name).casefold()),
    (lambda name: _stem(name).casefold(), lambda name: _stem(name).casefold()),
    (lambda name: _number(_stem(name)), lambda name: _number(_stem(name))),
)
"""The same but for capitals and leading zeros."""
APART: tuple[Keys, ...] = ((str, lambda name: PurePosixPath(name).parent.name), (str, lambda name: _begin(_stem(name))))
"""The name of the folder, and what stands before the number of several pictures."""


def _refuse_ambiguous(images: Path, found: NamedPictures, *, asked: int) -> None:
    if not found.ambiguous:
        return
    item_id, fitting = next(iter(found.ambiguous.items()))
    says = (
        f"{images}: {len(found.ambiguous):,} of {asked:,} items have several pictures, such as item {item_id!r}: "
        f"{' and '.join(fitting[:2])}"
    )
    if len(found.ambiguous) >= MANY * asked:
        raise RefusedError(
            f"{says}; name the folder that holds the right ones, or a column with their names by --image"
        )
    logger.warning("%s; they go without", says)


def _why_none(images: Path, names: Sequence[str]) -> str:
    """What is there instead of pictures that fit."""
    if names:
        return f"none of its {len(names):,} pictures fits an item"
    if images.is_dir() and (images / "data.mdb").exists():
        return "it is an LMDB (data.mdb), not a folder of pictures"
    others = sorted({path.suffix.lower() or path.name for path in images.rglob("*") if path.is_file()})
    if others:
        return f"it holds no pictures, but {', '.join(others[:EXAMPLES])}"
    return "it holds no pictures"


def _remedy(asked: Sequence[str], names: Sequence[str]) -> str:
    wanted = _quoted([name if PurePosixPath(name).suffix else f"{name}.jpg" for name in asked[:EXAMPLES]])
    return f"pictures are named after items, such as {wanted}" + (f", not {_quoted(names)}" if names else "")


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:EXAMPLES])
