"""What an import is told: its files, where to write, and options of which each kind takes some."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from data_tools.reading.quoting import Quoting
from data_tools.writing import Conflicts


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Options of an import; unset ones are None (or empty). `TAKES` lists what each kind takes."""

    item_id: str | None = None
    """Column of the catalogue that holds the item id; unset: `item_id`."""
    title: str | None = None
    """Column of the catalogue that holds the title; unset: `title`."""
    image: str | None = None
    """Column of the catalogue that holds a picture's name below the picture folder."""
    image_url: str | None = None
    """Column of the catalogue that holds a picture's web address."""
    text: tuple[str, ...] = ()
    """Further text columns of the catalogue, kept under their own names."""
    user_id: str | None = None
    """Column of the log that holds the user id; unset: `user_id`."""
    log_item_id: str | None = None
    """Column of the log that holds the item id; unset: as in the catalogue."""
    timestamp: str | None = None
    """Column of the log that holds the time; unset: `timestamp`."""
    rating: str | None = None
    """Column of the log that holds the rating that `min_rating` is compared with."""
    min_rating: float | None = None
    """Interactions rated lower are dropped, and counted."""
    separator: str | None = None
    """Character between the fields of a CSV file; `\\t` is a tab; unset: a comma, or a tab in `.tsv` files."""
    log_separator: str | None = None
    """The same for the log, where it differs from the catalogue's."""
    items_config: str | None = None
    """Configuration of a hub dataset that holds the catalogue."""
    log_config: str | None = None
    """Configuration of a hub dataset that holds the log."""
    split: str | None = None
    """Split of a hub dataset; unset: `train`."""

    ids: str | None = None
    """Repairs of ids, separated by commas: `strip` (space and invisible characters), `integer` (7.0 and 007 are 7),
    `lower` (capitals)."""
    quoting: Quoting | None = None
    """What quotes of a separated file do: `double` (enclose fields, as in CSV), `none`, `backslash`; unset: found."""
    encoding: str | None = None
    """Encoding of text files, such as `cp1252`; unset: as a byte order mark says, else UTF-8."""
    time_format: str | None = None
    """How dates are written, as of `strftime`, such as `%d.%m.%Y %H:%M`; unset: found where it leaves no doubt."""

    conflicts: Conflicts | None = None
    """What becomes of rows that say different things of one item: `refuse`, or the `first` or `last` of them
    counts; unset: `refuse`."""
    guess: bool = False
    """Take columns that are not named by what their names suggest, and say so; separators likewise."""
    skip_without_id: bool = False
    """Leave rows without a usable id out, and count them, instead of refusing them."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a catalogue without header; `_` for one that is not needed."""
    log_columns: tuple[str, ...] = ()
    """The same for a log."""

    def given(self) -> tuple[str, ...]:
        """Names of the options that are set, in order."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) != f.default)


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """What every importer takes."""

    items: Path
    """The catalogue: a file; a dataset id (`owner/name`) or a folder for the kind `huggingface`."""
    interactions: Path
    """The log of interactions, likewise."""
    out: Path
    """Dataset folder to write; must not exist or be empty."""
    images: Path | None = None
    """Folder, zip or tar of pictures: those that the column `image` names, else `<item_id>.jpg` and the like."""
    videos: Path | None = None
    """Folder of videos, named after the items' ids; they are copied into the dataset."""
    sounds: Path | None = None
    """The same for sounds."""
    name: str | None = None
    """Name of the dataset; unset: that of the folder of `items`, or of the hub's dataset."""
    options: ImportOptions = ImportOptions()
