"""Importers: one function per source format, all with the same arguments, listed by kind in `IMPORTERS`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from data_tools.importers import amazon, huggingface, iisan_tsv, microlens, movielens, table
from data_tools.importers.options import ImportOptions
from iisan_core.data.dataset import Dataset


class Importer(Protocol):
    """What every importer looks like; see `import_iisan_tsv` for the arguments."""

    def __call__(
        self,
        *,
        items: Path,
        interactions: Path,
        out: Path,
        images: Path | None = None,
        name: str | None = None,
        options: ImportOptions | None = None,
    ) -> Dataset:
        """Read the source files and write the dataset folder `out`."""


IMPORTERS: dict[str, Importer] = {
    "iisan-tsv": iisan_tsv.import_iisan_tsv,
    "movielens": movielens.import_movielens,
    "microlens": microlens.import_microlens,
    "amazon-2018": amazon.import_amazon_2018,
    "amazon-2023": amazon.import_amazon_2023,
    "table": table.import_table,
    "huggingface": huggingface.import_huggingface,
}
TAKES: dict[str, tuple[str, ...]] = {
    "iisan-tsv": iisan_tsv.TAKES,
    "movielens": movielens.TAKES,
    "microlens": microlens.TAKES,
    "amazon-2018": amazon.TAKES,
    "amazon-2023": amazon.TAKES,
    "table": table.TAKES,
    "huggingface": huggingface.TAKES,
}
"""Fields of `ImportOptions` that each kind takes; others are refused."""
