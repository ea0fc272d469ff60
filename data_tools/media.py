"""Videos and sounds of items: found in a folder by the items' ids, and copied into a dataset folder."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import polars as pl

from data_tools.picture_names import find_pictures
from data_tools.writing import picture_stem
from iisan_core.errors import RefusedError

ENDINGS = {
    "video": (".mp4", ".webm", ".mkv", ".avi", ".mov", ".m4v"),
    "audio": (".wav", ".mp3", ".flac", ".ogg", ".m4a", ".opus"),
}
"""Column of the catalogue → endings of its files."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundMedia:
    """Files of one column, and where they go."""

    column: str
    folder: Path
    targets: Mapping[str, str]
    """Name below `folder` → path in the dataset folder."""

    def copy_to(self, dataset: Path) -> None:
        """Copy the files into a dataset folder."""
        for name, target in self.targets.items():
            (dataset / target).parent.mkdir(exist_ok=True)
            shutil.copyfile(self.folder / name, dataset / target)


def with_media(items: pl.DataFrame, folder: Path, *, column: str) -> tuple[pl.DataFrame, FoundMedia]:
    """The items with their file named in `column`, and the files, found as pictures are.

    Raises `RefusedError` if `folder` is none, no file fits an item, or several fit one.
    """
    if not folder.is_dir():
        raise RefusedError(f"no {column} files at {folder}: it is no folder")
    names = [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in ENDINGS[column] and path.is_file() and path.resolve().is_relative_to(folder.resolve())
    ]
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(PurePosixPath(name).with_suffix("").as_posix(), []).append(name)
    found = find_pictures(((item_id, (item_id,)) for item_id in items["item_id"]), list(by_stem))
    twice = [*found.ambiguous.values(), *(same for same in by_stem.values() if len(same) > 1)]
    if twice:
        raise RefusedError(f"{folder}: {' and '.join(twice[0][:2])} are of one item; name the folder of the right ones")
    chosen = [by_stem[stem][0] if stem is not None else None for stem in found.names]
    count = sum(name is not None for name in chosen)
    if not count:
        raise RefusedError(
            f"{folder}: none of its {len(names):,} {column} files fits an item; they are named after items, such as "
            f"{items['item_id'][0]}{ENDINGS[column][0]}"
        )
    logger.info("%s: %d of %d items have a %s", folder, count, items.height, column)
    paths = [
        f"{column}/{picture_stem(item_id)}{PurePosixPath(name).suffix.lower()}" if name is not None else None
        for item_id, name in zip(items["item_id"], chosen, strict=True)
    ]
    targets = {name: path for name, path in zip(chosen, paths, strict=True) if name is not None and path is not None}
    named = items.with_columns(pl.Series(column, paths, dtype=pl.String))
    return named, FoundMedia(column, folder, targets)
