"""What the columns of any table may be, by their names; shown to people, who confirm them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_tools.importers.request import ImportOptions
from data_tools.reading.delimited import SEPARATORS
from data_tools.reading.encodings import TextFile
from data_tools.reading.sources import Source

GUESSES = {
    "item_id": ("item_id", "itemid", "item", "asin", "parent_asin", "movieid", "product_id", "article_id", "sku", "id"),
    "title": ("title", "name", "titles", "product_name", "prod_name"),
    "image": ("image", "picture", "img", "poster"),
    "image_url": ("image_url", "imageurl", "imurl", "url"),
    "user_id": ("user_id", "userid", "user", "reviewerid", "customer_id", "session_id"),
    "timestamp": ("timestamp", "time", "date", "unixreviewtime", "datetime", "created_at"),
    "rating": ("rating", "overall", "stars", "score"),
}
"""Meaning → column names that suggest it, lower case, the surest first."""

logger = logging.getLogger(__name__)


def guess(meaning: str, names: Sequence[str]) -> str | None:
    """The column whose name suggests a meaning most; None where none does."""
    by_case = {name.casefold().strip(): name for name in reversed(names)}
    return next((by_case[word] for word in GUESSES[meaning] if word in by_case), None)


def guess_separator(path: Path, *, what: str, encoding: str | None = None) -> str | None:
    """What stands most often in the first line that is not blank; None where nothing does."""
    begins = TextFile(path, what=what, encoding=encoding).begins
    line = next((line for line in begins.splitlines() if line.strip()), "")
    found = max(SEPARATORS, key=line.count)
    return found if found in line else None


def look_swapped(items: Sequence[str], log: Sequence[str]) -> bool:
    """Whether the columns of the catalogue look like those of a log, and the other way round."""

    def of_log(names: Sequence[str]) -> bool:
        return guess("user_id", names) is not None and guess("timestamp", names) is not None

    return of_log(items) and not of_log(log)


def with_guesses(items: Source, log: Source, options: ImportOptions) -> ImportOptions:
    """The options, with guesses for columns that were not named and are not called as is expected; they are said."""
    guessed: dict[str, str] = {}
    for source, meanings in ((items, ("item_id", "title")), (log, ("user_id", "log_item_id", "timestamp"))):
        names = source.columns() or []
        for option in meanings:
            meaning = option.removeprefix("log_")
            found = guess(meaning, names)
            if getattr(options, option) is None and meaning not in names and found is not None:
                guessed[option] = found
    if guessed:
        named = " ".join(f"--{option.replace('_', '-')} {name!r}" for option, name in guessed.items())
        logger.warning("guessed by the names of the columns: %s", named)
    return replace(options, **guessed)  # type: ignore[arg-type]
