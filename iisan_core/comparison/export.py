"""Tables of figures as text for papers and programs: Markdown and CSV."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl


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
