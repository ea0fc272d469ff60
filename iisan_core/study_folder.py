"""What a finished study leaves behind beside its runs; read without anything that trains."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from iisan_core.errors import RefusedError

TABLE, ABOUT = "table.parquet", "study.json"


def read_table(folder: Path) -> pl.DataFrame:
    """The table of a finished study; raises `RefusedError` where there is none, or it is no study's."""
    if not (folder / TABLE).is_file():
        raise RefusedError(f"no finished study in {folder}: it has no {TABLE}; run it with `iisan study`")
    try:
        table = pl.read_parquet(folder / TABLE)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RefusedError(f"the table of study {folder.name} cannot be read ({error}); run the study again") from None
    if "row" not in table.columns or not any(c.startswith("test_") for c in table.columns):
        raise RefusedError(f"{folder / TABLE} is no study's table: it has {table.columns}; run the study again")
    return table
