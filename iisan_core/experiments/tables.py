"""Tables of figures as people read them: a mean with its deviation or interval in one cell, Markdown, a study's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from iisan_core.errors import RefusedError
from iisan_core.files import checked

TABLE, ABOUT = "table.parquet", "study.json"
"""What a finished study leaves beside its runs."""


def with_spread(table: pl.DataFrame) -> pl.DataFrame:
    """Put each figure and its `…_deviation`, or its `…_low` and `…_high`, into one cell.

    `7.66 ± 0.10`, `7.66 (7.20 to 8.13)`; a figure without a deviation stays alone.
    """
    spreads = {f"{name}{end}" for name in table.columns for end in ("_deviation", "_low", "_high")}
    return table.select(_spread(table, name) for name in table.columns if name not in spreads)


def _spread(table: pl.DataFrame, name: str) -> pl.Series:
    parts = [f"{name}{end}" for end in ("_deviation", "_low", "_high")]
    present = [part for part in parts if part in table.columns]
    if not present:
        return table[name]
    pattern = "{:.2f} ± {:.2f}" if present == parts[:1] else "{:.2f} ({:.2f} to {:.2f})"
    rows = table.select(name, *present).iter_rows()
    cells = [pattern.format(*row) if None not in row else _shown(row[0]) for row in rows]
    return pl.Series(name, cells, dtype=pl.String)


def as_markdown(table: pl.DataFrame) -> str:
    """A table as GitHub Markdown: floats with two decimals, thousands separated, gaps as a dash."""
    numeric = [dtype.is_numeric() for dtype in table.dtypes]
    lines = [
        _line(name.replace("_", " ") for name in table.columns),
        _line("---:" if is_number else "---" for is_number in numeric),
        *(_line(map(_shown, row)) for row in table.iter_rows()),
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _shown(cell: object) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.2f}"
    if isinstance(cell, int):
        return f"{cell:,}"
    return str(cell).replace("|", "\\|").replace("\n", " ")


def read_table(folder: Path) -> pl.DataFrame:
    """The table of a finished study; raises `RefusedError` where there is none, or it is no study's."""
    if not checked(folder / TABLE).is_file():
        raise RefusedError(f"no finished study in {folder}: it has no {TABLE}; run it with `iisan study`")
    try:
        table = pl.read_parquet(folder / TABLE)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RefusedError(f"the table of study {folder.name} cannot be read ({error}); run the study again") from None
    if "row" not in table.columns or not any(c.startswith("test_") for c in table.columns):
        raise RefusedError(f"{folder / TABLE} is no study's table: it has {table.columns}; run the study again")
    return table
