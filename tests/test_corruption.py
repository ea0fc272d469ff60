"""Every file of a dataset, a cache, a run and a study, damaged one at a time: it is named, and none of it is served."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import pytest
import torch

from data_tools.writing import write_dataset
from iisan_core.cache.store import HiddenStateCache
from iisan_core.data.dataset import Dataset
from iisan_core.errors import IisanError
from iisan_core.evaluation.rank_table import read_rank_table
from iisan_core.experiments.leaderboard import run_row
from iisan_core.experiments.run_study import run_study
from iisan_core.experiments.study import Row, Study
from iisan_core.experiments.tables import read_table
from iisan_core.files import sha256_of_file
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import resume, train
from iisan_core.serving.recommender import Recommender
from iisan_core.training.events import EpochEnded
from tests.tiny_world import TinyWorld, class_log, one_pixel, write_cache

Homes: TypeAlias = "tuple[Home, Home, dict[str, Any]]"

LISTED = ("datasets/tiny", "caches/tiny/text", "runs/finished", "runs/stopped", "runs/study")


@dataclass(frozen=True)
class Home:
    """A workspace with a dataset, its caches, a finished run, one that was stopped, and a study."""

    root: Path

    @property
    def dataset(self) -> Path:
        return self.root / "datasets" / "tiny"

    def cache(self, modality: str) -> Path:
        return self.root / "caches" / "tiny" / modality

    def run(self, name: str) -> Path:
        return self.root / "runs" / name


def _make(home: Home, seed: int) -> Home:
    """Of the same shape whatever the seed."""
    rng = np.random.default_rng(seed)
    ids = [f"i{n:02}" for n in range(60)]
    items = pl.DataFrame({"item_id": ids, "title": [f"thing {seed} {n}" for n in range(60)], "image": ["1.png"] * 60})
    log, images = class_log(rng), {"1.png": one_pixel(1)}
    home.root.joinpath("runs").mkdir(parents=True)
    dataset = write_dataset(home.dataset, name="tiny", source="a test", items=items, interactions=log, images=images)
    caches = {name: write_cache(_parent(home.cache(name)), dataset, name, rng) for name in ("image", "text")}
    world = TinyWorld(dataset, caches, 6)
    config = world.config(training={"epochs": 2, "seed": seed}, model={"together": True, "frozen": True})
    for _ in train(config, home.run("finished")):
        pass
    for event in train(config, home.run("stopped")):
        if isinstance(event, EpochEnded):
            RunFolder(home.run("stopped")).ask_to_stop()
    study = Study("one", "Is it?", (Row("as it is", config),))
    for _ in run_study(study, home.run("study"), seeds=(seed,)):
        pass
    return home


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Home, dict[str, Any]]:
    """Two of the same shape and of other content, and what the first one's readers find."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("corruption")
    home, other = _make(Home(folder / "one"), 1), _make(Home(folder / "other"), 2)
    whole = Home(folder / "whole")
    shutil.copytree(home.root, whole.root)
    expected = {name: read(whole) for name, read in READERS.items()}
    torch.set_num_threads(threads)
    return home, other, expected


def recommended(home: Home) -> Any:
    recommender = Recommender.load(home.run("finished"))
    return [(item.item_id, item.score) for item in recommender.recommend(histories=[["i01", "i07"]], k=5)[0]]


def explained(home: Home) -> Any:
    why = Recommender.load(home.run("finished")).explain("i13", history=["i01", "i07"])
    return [(part.name, part.above_mean) for part in why.parts]


def compared(home: Home) -> Any:
    run = RunFolder.open(home.run("finished"))
    return run_row(run, metrics=("HR@10",), intervals=False), read_rank_table(run.ranks).rows()


def states(home: Home) -> Any:
    return {name: HiddenStateCache.open(home.cache(name)).load().tolist() for name in ("image", "text")}


def studied(home: Home) -> Any:
    return read_table(home.run("study")).rows()


def resumed(home: Home) -> Any:
    """In the folder itself: what is trained on must be the same to the byte."""
    for _ in resume(RunFolder.open(home.run("stopped"))):
        pass
    return sha256_of_file(home.run("stopped") / "items.safetensors")


def data(home: Home) -> Any:
    dataset = Dataset.load(home.dataset)
    return dataset.items.rows(), dataset.interactions.rows(), dataset.card


READERS: dict[str, Callable[[Home], Any]] = {
    read.__name__: read for read in (data, states, recommended, explained, compared, studied, resumed)
}
DATA = ("data", "recommended", "explained", "resumed")
FILES: dict[str, tuple[str, ...]] = {
    "datasets/tiny/dataset.json": DATA,
    "datasets/tiny/items.parquet": DATA,
    "datasets/tiny/interactions.parquet": DATA,
    "caches/tiny/text/manifest.json": ("states", "resumed"),
    "caches/tiny/text/item_ids.parquet": ("states", "resumed"),
    "caches/tiny/text/states.bin": ("states", "resumed"),
    "runs/finished/config.yaml": ("recommended", "explained", "compared"),
    "runs/finished/results.json": ("compared",),
    "runs/finished/ranks.parquet": ("compared",),
    "runs/finished/items.safetensors": ("recommended", "explained"),
    "runs/finished/item_ids.parquet": ("recommended", "explained"),
    "runs/finished/parts.safetensors": ("explained",),
    "runs/finished/blend.json": ("recommended", "explained"),
    "runs/finished/together.safetensors": ("recommended", "explained"),
    "runs/finished/best/model.safetensors": ("recommended", "explained"),
    "runs/finished/best/config.json": ("recommended", "explained"),
    "runs/stopped/config.yaml": ("resumed",),
    "runs/stopped/checkpoint/state.safetensors": ("resumed",),
    "runs/study/table.parquet": ("studied",),
    **{f"{folder}/checksums.json": () for folder in LISTED},
}
"""File → those who read it, and must name it."""


def _flipped(path: Path, _: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 16
    path.write_bytes(raw)


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "cut": lambda path, _: path.write_bytes(path.read_bytes()[: max(1, path.stat().st_size * 2 // 3)]),
    "flipped": _flipped,
    "emptied": lambda path, _: path.write_bytes(b""),
    "swapped": lambda path, other: shutil.copyfile(other, path),
    "gone": lambda path, _: path.unlink(),
}
ABSENT_IS_ALLOWED = ("checksums.json", "state.safetensors")
"""Without the list a folder is read unchecked; without a checkpoint a run starts over."""


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def try_one(homes: Homes, place: Path, file: str, damage: str, readers: Collection[str]) -> None:
    """Damage a file of a copy; whoever reads it names it, and everybody else answers as if nothing were."""
    home, other, expected = homes
    copy = Home(place / "copy")
    shutil.copytree(home.root, copy.root)
    DAMAGES[damage](copy.root / file, other.root / file)
    same = _bytes(copy.root / file) == _bytes(home.root / file)  # two runs of one shape have one config.json
    for name in readers:
        try:
            found = READERS[name](copy)
        except IisanError as error:
            assert Path(file).name in str(error), f"{name} does not name {file}: {error}"
        else:
            allowed = same or (damage == "gone" and Path(file).name in ABSENT_IS_ALLOWED)
            assert allowed or name not in FILES[file], f"{name} reads {file}, which is {damage}, and says nothing"
            assert found == expected[name], f"{name} answers otherwise since {file} is {damage}"


@pytest.mark.parametrize("file", FILES)
def test_a_flipped_byte_or_another_folders_file_is_named(homes: Homes, tmp_path: Path, file: str) -> None:
    for damage in ("flipped", "swapped"):
        try_one(homes, tmp_path / damage, file, damage, [name for name in FILES[file] if name != "resumed"])


@pytest.mark.parametrize("file", ["stopped/checkpoint/state.safetensors", "stopped/config.yaml"])
def test_nothing_is_resumed_from_a_damaged_file(homes: Homes, tmp_path: Path, file: str) -> None:
    try_one(homes, tmp_path, f"runs/{file}", "flipped", ["resumed"])


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_every_damage_of_every_file_is_named_by_every_reader(
    homes: Homes, tmp_path: Path, file: str, damage: str
) -> None:
    try_one(homes, tmp_path, file, damage, READERS)
