"""A run made ready to be given away, and such a folder looked at before anything in it is believed.

It is a small workspace: what serves a run, and nothing else.

README.md                the model card
runs/NAME/               config.yaml, best/, vectors, their parts, what is counted, results.json
datasets/NAME/           dataset.json, items.parquet; pictures and interactions.parquet only where asked for
caches/MODALITY/         manifest.json alone: by which backbone and settings new items are read
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from iisan_core.cache.manifest import MANIFEST, read_manifest
from iisan_core.config.schema import RunConfig, save_config
from iisan_core.data.dataset import FILE_COLUMNS, Dataset
from iisan_core.errors import RefusedError
from iisan_core.files import new_folder, write_json, write_text
from iisan_core.runs.results import read_item_ids
from iisan_core.runs.run_folder import RunFolder
from iisan_core.serving.loading import read_run
from iisan_core.serving.model_card import Card, model_card

OF_RUN = ("items.safetensors", "item_ids.parquet", "parts.safetensors", "blend.json", "together.safetensors")
"""Beside `config.yaml`, `best/` and `results.json`. No ranks, events or logs: these are of users, or of a machine."""

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
ALLOWED = tuple(
    re.compile(pattern)
    for pattern in (
        r"README\.md|\.gitattributes",
        rf"runs/{NAME}/(config\.yaml|results\.json|blend\.json)",
        rf"runs/{NAME}/(items|parts|together)\.safetensors",
        rf"runs/{NAME}/item_ids\.parquet",
        rf"runs/{NAME}/best/(\d{{1,3}}/)?(config\.json|(model|ensemble)\.safetensors)",
        rf"datasets/{NAME}/(dataset\.json|items\.parquet|interactions\.parquet)",
        rf"datasets/{NAME}/images/\d{{1,9}}\.(png|jpg|jpeg|webp|gif|bmp|tif|tiff|avif)",
        rf"caches/{NAME}/manifest\.json",
    )
)
"""What may be in such a folder: tensors as safetensors, tables, texts and pictures, at these places; no programs."""

MOST_FILES = 2_000_000
MOST_TEXT = 16 * 2**20
"""Bytes of a file that is text."""
MOST_ROWS = 200_000_000
"""Of a table: a small file can claim any number."""
MOST_CELL_BYTES = 64 * 2**30
"""Of a table's columns, unpacked, as its own end says."""


@dataclass(frozen=True)
class Sharing:
    """What is given away, and under which terms."""

    licence: str
    """Such as `cc-by-nc-4.0`; it is asked for, never assumed."""
    pictures: bool = False
    interactions: bool = False


def share(run: RunFolder, folder: Path, sharing: Sharing, *, name: str | None = None) -> Path:
    """Write what serves a finished run into the new `folder`; returns the run folder in it.

    name  how the card says that it is called; unset: by the run's name

    Raises `RefusedError` if the run cannot be served, has results of nothing, or the folder is taken.
    """
    config, results = run.config(), run.results()
    read_run(run.path)  # what cannot be recommended from is not given away
    dataset = Dataset.load(run.usable_config(caches=False).dataset, needs_log=False)
    names = _tame(run.name), _tame(dataset.name)
    with new_folder(folder) as made:
        home, catalogue = made / "runs" / names[0], made / "datasets" / names[1]
        for path in (home, catalogue):
            path.mkdir(parents=True)
        _write_dataset(dataset, catalogue, sharing)
        caches = _write_manifests(config, made)
        _write_run(run, home)
        members = [made / "runs" / _tame(member.name) for member in config.members]
        places = {"dataset": catalogue, "caches": caches, "start_from": None, "members": members}
        save_config(config.model_copy(update=places), home / "config.yaml")
        write_json(home / "results.json", without_places({k: v for k, v in results.items() if k != "start"}))
        card = Card(name or names[0], run, config, sharing.licence, log=sharing.interactions)
        write_text(made / "README.md", model_card(card))
    return folder / "runs" / names[0]


def shared_run(folder: Path) -> Path:
    """The run in a folder that `share` wrote; raises `RefusedError` if there is none, or anything is not as it writes.

    Nothing of the folder is opened before its names, sizes and links were looked at.
    """
    check_names({_relative(path, folder): path.stat().st_size for path in _files(folder)}, where=folder)
    runs = sorted((folder / "runs").glob("*/config.yaml"))
    if len(runs) != 1:
        raise RefusedError(f"{folder} holds {len(runs)} runs; a folder that was shared by `iisan push` holds one")
    for table in folder.glob("*/*/*.parquet"):
        _check_table(table)
    run = RunFolder.open(runs[0].parent)
    config = run.config()
    start = [config.start_from] if config.start_from else []
    named = [config.dataset, *config.caches.values(), *config.members, *start]
    for place in named:
        if not place.resolve().is_relative_to(folder.resolve()):
            raise RefusedError(
                f"{runs[0]} names {place}, outside of {folder}; a run from elsewhere stays in its folder"
            )
    for manifest in folder.glob(f"caches/*/{MANIFEST}"):
        backbone = read_manifest(manifest.parent).backbone
        if Path(backbone).is_absolute() or ".." in Path(backbone).parts:
            raise RefusedError(f"{manifest} names the backbone {backbone!r}, a place of some machine; use its hub id")
    ids = read_item_ids(run)
    if ids is None:
        raise RefusedError(f"{run.item_ids} is missing; a run from elsewhere says whose its vectors are")
    return run.path


def check_names(sizes: dict[str, int], *, where: object) -> None:
    """Raise `RefusedError` if a folder from elsewhere has other files than a shared run has, or larger texts.

    sizes  path relative to the folder, by slashes → bytes
    """
    if len(sizes) > MOST_FILES:
        raise RefusedError(f"{where} has {len(sizes):,} files; {MOST_FILES:,} are the most")
    for name, size in sorted(sizes.items()):
        if not any(pattern.fullmatch(name) for pattern in ALLOWED):
            raise RefusedError(
                f"{where} has a file {name!r}, which no shared run has: there are safetensors, tables, texts and "
                "pictures at fixed places, and nothing that is a program or a pickle; take it out, or pull another run"
            )
        if name.endswith((".json", ".yaml", ".md")) and size > MOST_TEXT:
            raise RefusedError(f"{where}: {name} has {size:,} bytes; {MOST_TEXT:,} are the most for a text")


def without_places(value: Any) -> Any:
    """Plain values whose absolute paths are cut to their last names: they are of nobody's machine."""
    if isinstance(value, dict):
        return {name: without_places(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_places(inner) for inner in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value


def _write_run(run: RunFolder, home: Path) -> None:
    shutil.copytree(run.best, home / "best", ignore=_all_but(".safetensors", ".json"))
    for name in OF_RUN:
        if (run.path / name).is_file():
            shutil.copyfile(run.path / name, home / name)


def _all_but(*endings: str) -> Any:
    def ignored(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if not name.endswith(endings) and not (Path(folder) / name).is_dir()]

    return ignored


def _write_dataset(dataset: Dataset, folder: Path, sharing: Sharing) -> None:
    places = {column: pl.lit(None, dtype=pl.String) for column in FILE_COLUMNS if column in dataset.items.columns}
    items = dataset.items.with_columns(**places)
    if sharing.pictures:
        items = items.with_columns(image=pl.Series(_copied(dataset.image_paths(), folder), dtype=pl.String))
    items.write_parquet(folder / "items.parquet")
    if sharing.interactions:
        dataset.interactions.write_parquet(folder / "interactions.parquet")
    card = dataset.card.model_copy(update={"source": str(without_places(dataset.card.source))})
    write_json(folder / "dataset.json", card.model_dump(mode="json"))


def _copied(pictures: Iterable[Path | None], folder: Path) -> list[str | None]:
    """Copy pictures under numbers; their paths in the folder, None where there is none to copy."""
    (folder / "images").mkdir()
    names: list[str | None] = []
    for number, path in enumerate(pictures):
        ending = path.suffix.lower() if path is not None else ""
        taken = (
            path is not None and path.is_file() and any(p.fullmatch(f"datasets/x/images/1{ending}") for p in ALLOWED)
        )
        names.append(f"images/{number}{ending}" if taken else None)
        if taken and path is not None:
            shutil.copyfile(path, folder / "images" / f"{number}{ending}")
    return names


def _write_manifests(config: RunConfig, made: Path) -> dict[str, Path]:
    """The caches' manifests; a run whose caches are gone is shared without, and takes no new items."""
    places = {}
    for modality, cache in config.caches.items():
        places[modality] = made / "caches" / modality
        if not (cache / MANIFEST).is_file():
            continue
        manifest = read_manifest(cache)
        backbone = str(without_places(manifest.backbone)).removeprefix("./")
        told = manifest.model_copy(update={"dataset_folder": None, "backbone": backbone})
        places[modality].mkdir(parents=True)
        write_json(places[modality] / MANIFEST, told.model_dump(mode="json"))
    return places


def _tame(name: str) -> str:
    """A name that any folder may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:96] or "run"


def _files(folder: Path) -> list[Path]:
    """All files; raises `RefusedError` for a link, or what is no file at all."""
    if not folder.is_dir():
        raise RefusedError(f"no folder at {folder}; pull a run there with `iisan pull`")
    found = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    for path in found:
        if path.is_symlink() or not path.is_file():
            raise RefusedError(f"{path} is a link, or no file; a run from elsewhere consists of plain files")
    return found


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _check_table(path: Path) -> None:
    """Refuse a table that would not fit, by what its own end says, before it is unpacked."""
    try:
        rows = int(pl.scan_parquet(path).select(pl.len()).collect().item())
        strings = sum(kind == pl.String for kind in pl.read_parquet_schema(path).values())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RefusedError(f"{path} is no readable Parquet file ({error}); pull the run again") from None
    if rows > MOST_ROWS or rows * max(1, strings) * 16 > MOST_CELL_BYTES:
        raise RefusedError(f"{path} claims {rows:,} rows; {MOST_ROWS:,} are the most that are read from elsewhere")
