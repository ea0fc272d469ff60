"""Importers: one function per source format, all with the same arguments, listed by kind in `IMPORTERS`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from data_tools.importers.iisan_tsv import import_iisan_tsv
from iisan_core.dataset import Dataset


class Importer(Protocol):
    """What every importer looks like; see `import_iisan_tsv` for the arguments."""

    def __call__(
        self, *, items: Path, interactions: Path, out: Path, images: Path | None = None, name: str | None = None
    ) -> Dataset:
        """Read the source files and write the dataset folder `out`."""


IMPORTERS: dict[str, Importer] = {"iisan-tsv": import_iisan_tsv}
