"""What an import may be told beyond its files: one small record for all kinds; each kind takes some of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

from iisan_core.errors import RefusedError


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Options of an import; unset ones are None (or empty). `TAKES` of a kind's module lists what it takes."""

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
    items_config: str | None = None
    """Configuration of a hub dataset that holds the catalogue."""
    log_config: str | None = None
    """Configuration of a hub dataset that holds the log."""
    split: str | None = None
    """Split of a hub dataset; unset: `train`."""

    def given(self) -> tuple[str, ...]:
        """Names of the options that are set, in order."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) != f.default)


def checked_options(options: ImportOptions | None, *, takes: Collection[str], kind: str) -> ImportOptions:
    """`options`, or the defaults; raises `RefusedError` naming those set that `kind` does not take."""
    options = options or ImportOptions()
    others = [name for name in options.given() if name not in takes]
    if others:
        allowed = f"it takes {_listed(takes)}" if takes else "it takes none"
        raise RefusedError(f"importing {kind} does not take the options {_listed(others)}; {allowed}")
    return options


def _listed(names: Collection[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in names)
