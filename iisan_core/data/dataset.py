"""The dataset folder: a catalogue with titles and pictures, and a log of interactions.

    dataset.json          name, source, format version, counts, what was dropped and why
    items.parquet         item_id str, title str or null, image str or null, further text columns, and
                          optionally image_url: a web address, no text; video str or null: a file, or a folder of
                          frames whose names sort in their order; audio str or null: a file
    interactions.parquet  user_id str, item_id str, timestamp i64; grouped by user, oldest first
    images/               pictures, at the relative paths that `image` names; so with videos and sounds
    digests.parquet       SHA-256 of these files when they were last read, with sizes and times; may be absent

`data_tools` writes it; everything else reads it from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import polars as pl
from pydantic import Field

from iisan_core.config.schema import Strict, validated
from iisan_core.errors import RefusedError
from iisan_core.files import checked, read_json, refuse_special

FORMAT_VERSION = 1

ITEM_COLUMNS = {"item_id": pl.String, "title": pl.String, "image": pl.String}

FILE_COLUMNS = ("image", "video", "audio")
"""Columns of the catalogue that name files of the dataset folder; all but `image` are optional."""

NO_TEXT = ("item_id", *FILE_COLUMNS, "image_url")
"""String columns of the catalogue that no text encoder reads."""

NAME = r"[^./\\][^/\\]*"
"""What a dataset may be called: it names folders, too, so no slashes, no dot in front."""

DATASET_FILES = ("dataset.json", "items.parquet", "interactions.parquet")

INTERACTION_COLUMNS = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}


class DatasetCard(Strict):
    """`dataset.json`: where the data came from and what happened to it on the way."""

    format_version: int = FORMAT_VERSION
    name: str = Field(pattern=rf"^{NAME}$")
    source: str
    counts: dict[str, int]
    dropped: dict[str, int] = Field(default_factory=dict)
    """Rows left out, by reason."""
    reported: dict[str, int] = Field(default_factory=dict)
    """Rows kept although something is wanting, by what is wanting."""


class TextAndPicture(NamedTuple):
    """What a joint encoder reads of an item; one of both may be lacking."""

    text: str | None
    picture: Path | None


@dataclass(frozen=True)
class Dataset:
    """A dataset folder, read and checked: catalogue, log, and where both came from.

    Example:
        >>> dataset = Dataset.load(dataset.folder)
        >>> dataset.items.height, dataset.text_columns
        (60, ['title'])
    """

    folder: Path
    card: DatasetCard
    items: pl.DataFrame
    interactions: pl.DataFrame

    @classmethod
    def load(cls, folder: str | Path, *, needs_log: bool = True) -> Dataset:
        """Read a dataset folder; raises `RefusedError` on anything that breaks the contract above.

        Unless it `needs_log`, a folder without interactions will do: a catalogue to recommend from, of nobody's.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise RefusedError(f"no dataset folder at {folder}; make one with `iisan data import` or `iisan data demo`")
        path = folder / "dataset.json"
        card = validated(DatasetCard, read_json(path, what="dataset card"), where=str(path))
        if card.format_version != FORMAT_VERSION:
            raise RefusedError(
                f"{folder} has dataset format {card.format_version}, this program reads {FORMAT_VERSION}; "
                "import the data again"
            )
        items = _read_table(folder / "items.parquet", ITEM_COLUMNS)
        _check_items(items, folder)
        if not needs_log and not (folder / "interactions.parquet").exists():
            return cls(folder, card, items, pl.DataFrame(schema=INTERACTION_COLUMNS))
        interactions = _read_table(folder / "interactions.parquet", INTERACTION_COLUMNS)
        _check_interactions(interactions, items, folder)
        for name in DATASET_FILES:
            checked(folder / name)
        return cls(folder=folder, card=card, items=items, interactions=interactions)

    def of_items(self, item_ids: Sequence[str]) -> Dataset:
        """The same dataset with these items alone, in this order, and what the log holds of them.

        Raises `RefusedError` if one of them is not in the catalogue.
        """
        wanted = pl.DataFrame({"item_id": item_ids}, schema={"item_id": pl.String})
        gone = wanted.join(self.items, on="item_id", how="anti", maintain_order="left")
        if not gone.is_empty():
            raise RefusedError(
                f"{gone.height:,} of the run's {len(item_ids):,} items are not in {self.folder} any more, the first is "
                f"{gone['item_id'][0]!r}; bring them back, or train again"
            )
        items = wanted.join(self.items, on="item_id", how="left", maintain_order="left")
        log = self.interactions.join(wanted, on="item_id", how="semi", maintain_order="left")
        return replace(self, items=items, interactions=log)

    @property
    def name(self) -> str:
        """The name on the dataset card."""
        return self.card.name

    @property
    def text_columns(self) -> list[str]:
        """Columns of the catalogue that hold text: `title` and whatever else the importer kept."""
        return [c for c, t in self.items.schema.items() if t == pl.String and c not in NO_TEXT]

    def texts(self, fields: tuple[str, ...] = ("title",)) -> list[str | None]:
        """One text per item, its non-empty `fields` joined by a space; None where all are empty."""
        unknown = [f for f in fields if f not in self.text_columns]
        if unknown or not fields:
            raise RefusedError(
                f"text fields {list(fields)} of {self.folder}: it has {self.text_columns}; choose among these"
            )
        cleaned = [pl.col(f).str.strip_chars().replace("", None) for f in fields]
        joined = self.items.select(pl.concat_str(cleaned, separator=" ", ignore_nulls=True).replace("", None))
        return joined.to_series().to_list()

    def texts_and_pictures(self, fields: tuple[str, ...] = ("title",)) -> list[TextAndPicture | None]:
        """Text and picture of each item; None where the catalogue has neither."""
        pairs = zip(self.texts(fields), self.image_paths(), strict=True)
        return [TextAndPicture(text, path) if text or path else None for text, path in pairs]

    def image_paths(self) -> list[Path | None]:
        """One absolute picture path per item; None where the catalogue names none."""
        return self.file_paths("image")

    def file_paths(self, column: str) -> list[Path | None]:
        """One absolute path per item from one of `FILE_COLUMNS`; None where the catalogue names none.

        Raises `RefusedError` if the catalogue has no such column, or one of them leads out of the folder by a link, or
        is a device or a pipe.
        """
        if column not in self.items.columns:
            raise RefusedError(
                f"{self.folder} names no {column} files: add a text column {column!r} to items.parquet, with paths "
                "relative to the folder, and remove its checksums.json, which knows the catalogue as it was"
            )
        paths = [self.folder / name if name else None for name in self.items[column].to_list()]
        refuse_special(dict.fromkeys(path for path in paths if path is not None), home=self.folder)
        return paths


def frame_files(folder: Path) -> list[Path]:
    """The frames of a video that is a folder, in order: its files by name, hidden ones left out."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _read_table(path: Path, columns: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    if not path.is_file():
        raise RefusedError(f"{path} is missing; the dataset folder is incomplete, import the data again")
    try:
        table = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise RefusedError(f"{path} is no readable Parquet file ({error}); import the data again") from None
    faults = [
        f"{c} should be {t}, is {table.schema.get(c, 'absent')}" for c, t in columns.items() if table.schema.get(c) != t
    ]
    if faults:
        raise RefusedError(f"{path} has the wrong columns: {'; '.join(faults)}")
    if table.is_empty():
        raise RefusedError(f"{path} is empty; a dataset needs at least one row there")
    return table


def _check_items(items: pl.DataFrame, folder: Path) -> None:
    if items["item_id"].null_count() or items["item_id"].is_duplicated().any():
        twice = items.filter(pl.col("item_id").is_duplicated() | pl.col("item_id").is_null())["item_id"][0]
        raise RefusedError(
            f"{folder / 'items.parquet'}: item id {twice!r} stands in more than one row; ids must be unique"
        )
    for column in FILE_COLUMNS:
        if column in items.columns:
            _check_paths(items, column, folder)


def _check_paths(items: pl.DataFrame, column: str, folder: Path) -> None:
    if items.schema[column] != pl.String:
        raise RefusedError(
            f"{folder / 'items.parquet'} has the wrong columns: {column} should be String, is {items.schema[column]}"
        )
    outside = items.filter(pl.col(column).str.contains(r"(^/)|(^|/)\.\.(/|$)|\\"))
    if not outside.is_empty():
        raise RefusedError(
            f"{folder / 'items.parquet'}: {column} path {outside[column][0]!r} leaves the dataset folder; "
            "paths are relative to it"
        )


def _check_interactions(interactions: pl.DataFrame, items: pl.DataFrame, folder: Path) -> None:
    users = interactions["user_id"]
    if users.rle_id()[-1] + 1 != users.n_unique():
        raise RefusedError(f"{folder / 'interactions.parquet'} is not grouped by user; import the data again")
    unknown = interactions.join(items, on="item_id", how="anti")
    if not unknown.is_empty():
        raise RefusedError(
            f"{folder / 'interactions.parquet'}: {unknown.height} interactions name items without a row in "
            f"items.parquet, the first is {unknown['item_id'][0]!r}; import the data again to drop them"
        )
