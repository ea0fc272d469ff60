"""Datasets of the Hugging Face hub, or folders that its library reads, the columns named by the caller."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from data_tools.importers.records import Records
from data_tools.importers.request import ImportRequest
from data_tools.importers.table import read_tables
from data_tools.reading.sources import ROW, first_line
from iisan_core.errors import RefusedError


def read(request: ImportRequest) -> Records:
    """Two datasets of the hub, or two configurations of one; only the named columns are brought into memory.

    Raises `RefusedError` if a dataset or the library `datasets` is absent.
    """
    options = request.options
    split = options.split or "train"
    items = _source(request.items, config=options.items_config, split=split)
    log = _source(request.interactions, config=options.log_config, split=split)
    return read_tables(items, log, options)


@dataclass(frozen=True)
class HubSource:
    """A dataset of the library `datasets` as a source; its rows count from 1 in messages."""

    name: str
    dataset: Any

    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.dataset.column_names)

    def scan(self, columns: Sequence[str]) -> pl.LazyFrame:
        """These columns alone, brought into memory from the library's files."""
        frame: pl.DataFrame = self.dataset.select_columns(list(columns)).to_polars()
        return frame.lazy().with_row_index(ROW)

    def line(self, row: int) -> str:
        """A dataset has rows, not lines."""
        return f"row {row + 1}"

    def hint(self, absent: Sequence[str]) -> str:
        """A dataset has no separators."""
        return "check the names of the columns, the configuration and the split"

    def refusal(self, error: Exception) -> RefusedError:
        """Columns of pictures, audio or nested values have no text form."""
        return RefusedError(f"{self.name}: a column is neither text nor number ({first_line(error)}); name another")


def _source(path: Path, *, config: str | None, split: str) -> HubSource:
    try:
        library = importlib.import_module("datasets")
    except ImportError:
        raise RefusedError(
            'importing from the hub needs the library `datasets`; pip install "iisan-workbench[hub]"'
        ) from None
    name = path.as_posix()
    try:
        return HubSource(name, library.load_dataset(name, name=config, split=split))
    except Exception as error:  # of a library that reads everything, with everybody's exceptions
        asked = f"configuration {config or 'default'}, split {split}"
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error  # a damaged file hides behind it
        says = f"cannot load {name} ({asked}): {first_line(cause)}; "
        if "script" in str(error).lower():
            raise RefusedError(
                f"{says}the dataset is made by a program, which the library does not run; download its files and "
                "import them by their own kind, such as amazon-2023 or table"
            ) from None
        raise RefusedError(f"{says}check its id on the hub, its configurations, splits and files") from None
