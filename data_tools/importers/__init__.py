"""Importers, by kind of source: `IMPORTERS["movielens"](ImportRequest(items=…, interactions=…, out=…))`.

A kind's module reads its two sources as `Records`; what all kinds share – the refusal of options that a kind does not
take, the pictures, the writing – is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from data_tools.ids import repair_ids, repairs_of
from data_tools.importers import amazon, huggingface, iisan_tsv, microlens, mind, movielens, published, recbole, table
from data_tools.importers.records import Records
from data_tools.importers.request import ImportOptions, ImportRequest
from data_tools.media import FoundMedia, with_media
from data_tools.picture_names import with_pictures
from data_tools.writing import default_name, write_dataset
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError

OF_ALL = ("ids", "conflicts", "skip_without_id")
"""Options of every kind."""
OF_TEXT = (*OF_ALL, "quoting", "encoding")
"""Options of every kind whose files are text."""
__all__ = ["IMPORTERS", "TAKES", "ImportOptions", "ImportRequest", "Importer"]


@dataclass(frozen=True)
class Importer:
    """One kind of source."""

    kind: str
    read: Callable[[ImportRequest], Records]
    takes: tuple[str, ...] = ()
    """Fields of `ImportOptions` that it takes; others are refused."""
    files: bool = True
    """Whether the sources are files, not datasets of the hub."""

    def __call__(self, request: ImportRequest) -> Dataset:
        """Read the sources and write the dataset folder `request.out`.

        Raises `RefusedError`, naming file, line and remedy, on anything that is not in the kind's format, on options
        that the kind does not take, and as `write_dataset` does.
        """
        self._refuse_other_options(request.options)
        repairs = repairs_of(request.options.ids)
        found = self.read(request)
        names = {"items_from": str(request.items), "log_from": str(request.interactions)}
        items, interactions = repair_ids(found.items, found.interactions, repairs, **names)
        items, pictures = with_pictures(items, request.images)
        media: list[FoundMedia] = []
        for column, folder in (("video", request.videos), ("audio", request.sounds)):
            if folder is not None:
                items, found_media = with_media(items, folder, column=column)
                media.append(found_media)
        sources = (request.items, request.interactions)
        return write_dataset(
            request.out,
            name=request.name or (default_name(request.items.parent) if self.files else request.items.name),
            source=f"{self.kind}: {', '.join(path.name if self.files else path.as_posix() for path in sources)}",
            items=items,
            interactions=interactions,
            images=found.images if request.images is None else pictures,
            dropped=found.dropped,
            report=found.report,
            conflicts=request.options.conflicts or "refuse",
            also=partial(_copy, media),
            items_from=str(request.items),
        )

    def _refuse_other_options(self, options: ImportOptions) -> None:
        others = [name for name in options.given() if name not in self.takes]
        if others:
            allowed = f"it takes {_listed(self.takes)}" if self.takes else "it takes none"
            raise RefusedError(f"importing {self.kind} does not take the options {_listed(others)}; {allowed}")


def _copy(media: Iterable[FoundMedia], folder: Path) -> None:
    for files in media:
        files.copy_to(folder)


def _listed(names: Collection[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in names)


IMPORTERS: dict[str, Importer] = {
    importer.kind: importer
    for importer in (
        Importer("iisan-tsv", iisan_tsv.read, takes=("ids", "conflicts", "encoding")),
        Importer("movielens", movielens.read, takes=("min_rating", *OF_TEXT)),
        Importer("microlens", microlens.read, takes=OF_TEXT),
        *(Importer(kind, read, takes=("min_rating", *OF_TEXT)) for kind, read in amazon.READERS.items()),
        *(
            Importer(kind, read, takes=(*(("min_rating",) if kind in published.RATED else ()), *OF_TEXT))
            for kind, read in published.READERS.items()
        ),
        Importer("mind", mind.read, takes=("ids", "conflicts", "encoding")),
        Importer("recbole", recbole.read, takes=("min_rating", *OF_TEXT)),
        Importer(
            "table",
            table.read,
            takes=(*table.COLUMN_OPTIONS, "separator", "log_separator", "columns", "log_columns", "guess", *OF_TEXT),
        ),
        Importer(
            "huggingface",
            huggingface.read,
            takes=(*table.COLUMN_OPTIONS, "items_config", "log_config", "split", *OF_ALL),
            files=False,
        ),
    )
}
TAKES: dict[str, tuple[str, ...]] = {kind: importer.takes for kind, importer in IMPORTERS.items()}
"""Fields of `ImportOptions` that each kind takes."""
