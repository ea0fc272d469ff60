"""What lies in the workspace, read once per change: memory is bounded, and files say when they changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from app.jobs.listing import status_of
from app.keeping.labels import NONE, Labels, labels_of
from data_tools.checks import Finding, check
from data_tools.statistics import (
    DatasetStatistics,
    coverage,
    interactions_over_time,
    popularity_curve,
    sequence_lengths,
    statistics,
)
from data_tools.times import has_times
from iisan_core.cache.manifest import ITEM_IDS, MANIFEST, STATES, CacheFacts, CacheManifest, read_manifest
from iisan_core.config.schema import ProtocolConfig, RunConfig, validated
from iisan_core.data.dataset import DATASET_FILES, Dataset, DatasetCard
from iisan_core.errors import IisanError, RefusedError
from iisan_core.files import read_json
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.status import Status
from iisan_core.runs.workspace import Workspace
from iisan_core.serving.histories import Histories

MOST_LISTED = 5000
"""Records that are listed without being read again; asking Streamlit's cache for each would cost more than the rest."""
Stamp = tuple[tuple[int, int], ...]


def stamp(*paths: Path) -> Stamp:
    """When the files were last changed, and their sizes: part of the key of everything that is read from them."""
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def folders(shelf: Path, *, with_file: str) -> list[Path]:
    """The folders on a shelf of the workspace that hold `with_file`, by name."""
    if not shelf.is_dir():
        return []
    return sorted(p for p in shelf.iterdir() if not p.name.startswith(".") and (p / with_file).is_file())


def dataset_folders(workspace: Workspace) -> list[Path]:
    """All dataset folders, be they whole or broken."""
    return folders(workspace.datasets, with_file="dataset.json")


def dataset_stamp(folder: Path) -> Stamp:
    """When a dataset was last changed."""
    return stamp(*(folder / name for name in DATASET_FILES))


@dataclass(frozen=True)
class DatasetFacts:
    """A dataset as the pages list it: what its card says, without its tables."""

    folder: Path
    card: DatasetCard | None
    problem: str = ""
    labels: Labels = NONE

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def touched(self) -> float:
        """When it was last changed, in seconds since 1970."""
        return max(moment for moment, _ in dataset_stamp(self.folder)) / 1e9


def datasets(workspace: Workspace) -> list[DatasetFacts]:
    """All datasets, by name; one that cannot be read says why."""
    return [read_card(folder) for folder in dataset_folders(workspace)]


def read_card(folder: Path) -> DatasetFacts:
    """What a dataset's card says; read once per change."""
    card, problem = _card(str(folder), stamp(folder / DATASET_FILES[0]))
    return DatasetFacts(folder, card, problem, labels_of(folder))


@lru_cache(maxsize=MOST_LISTED)
def _card(folder: str, changed: Stamp) -> tuple[DatasetCard | None, str]:
    path = Path(folder) / DATASET_FILES[0]
    try:
        return validated(DatasetCard, read_json(path, what="dataset card"), where=str(path)), ""
    except (IisanError, OSError) as error:
        return None, str(error)


def read_dataset(folder: Path) -> Dataset:
    """A dataset; raises `RefusedError` if it breaks the contract."""
    return _dataset(str(folder), dataset_stamp(folder))


def dataset_statistics(folder: Path) -> DatasetStatistics:
    """Counts of a dataset."""
    return _statistics(str(folder), dataset_stamp(folder))


def dataset_findings(folder: Path) -> list[Finding]:
    """What somebody should know of a dataset; opens every picture."""
    return _findings(str(folder), dataset_stamp(folder))


@st.cache_resource(max_entries=4, show_spinner="Reading the dataset …")
def _dataset(folder: str, changed: Stamp) -> Dataset:
    return Dataset.load(folder)


@st.cache_resource(max_entries=16, show_spinner="Counting …")
def _statistics(folder: str, changed: Stamp) -> DatasetStatistics:
    return statistics(_dataset(folder, changed))


@st.cache_resource(max_entries=16, show_spinner="Checking the dataset and its pictures …")
def _findings(folder: str, changed: Stamp) -> list[Finding]:
    return check(_dataset(folder, changed))


@dataclass(frozen=True)
class RunFacts:
    """A run as the pages list it; one that cannot be read says why and hides no other."""

    run: RunFolder
    status: Status | None
    problem: str = ""
    config: RunConfig | None = None
    results: dict[str, Any] | None = None
    labels: Labels = NONE

    @property
    def name(self) -> str:
        """The run folder's name."""
        return self.run.name

    @property
    def state(self) -> str:
        """How it stands; `broken` where that cannot be read."""
        return self.status.state if self.status else "broken"

    @property
    def active(self) -> bool:
        """Whether it is at work or waits for its device."""
        return self.status is not None and self.status.active

    @property
    def touched(self) -> float:
        """When it last gave a sign of life, in seconds since 1970."""
        return self.status.heartbeat if self.status else _stamp(self.run.path)[0] / 1e9

    @property
    def usable(self) -> bool:
        """Whether it has results, and so vectors to recommend with."""
        return self.results is not None and self.config is not None

    @property
    def dataset(self) -> str:
        """The name of the dataset that it was trained on; empty where that cannot be read."""
        return self.config.dataset.name if self.config else ""

    def reached(self, metric: str = "HR@10", *, on: str = "valid") -> float | None:
        """A figure of its results (× 100), on validation or test; None where it has none."""
        quality = (self.results or {}).get("quality", {})
        found = quality.get(on, {}).get(metric)
        return float(found) if isinstance(found, int | float) else None


def runs(workspace: Workspace) -> list[RunFacts]:
    """All runs, newest first."""
    found = [read_run(path) for path in folders(workspace.runs, with_file="config.yaml")]
    return sorted(found, key=lambda facts: (facts.touched, facts.name), reverse=True)


def read_run(path: Path) -> RunFacts:
    """How a run stands now; its configuration and results are read once per change."""
    run, labels = RunFolder(path), labels_of(path)
    try:
        config, results = _outcome(str(path), stamp(path / "config.yaml", path / "results.json"))
        return RunFacts(run, status_of(run), config=config, results=results, labels=labels)
    except IisanError as error:
        return RunFacts(run, None, str(error), labels=labels)


def best_first(found: Sequence[RunFacts]) -> list[RunFacts]:
    """Runs by what they reach on validation, which is where one may choose; those without figures keep their order."""
    return sorted(found, key=lambda run: -(run.reached() or 0.0))


@lru_cache(maxsize=MOST_LISTED)
def _outcome(path: str, changed: Stamp) -> tuple[RunConfig, dict[str, Any] | None]:
    run = RunFolder.open(path)
    config = run.config()
    if not (run.path / "results.json").is_file():
        return config, None
    results = run.results()
    _check_results(run, results)
    return config, results


def _check_results(run: RunFolder, results: dict[str, Any]) -> None:
    """Raise `RefusedError` where results lack what every page shows: they are of another version."""
    try:
        _ = results["quality"]["test"]["HR@10"] + results["efficiency"]["seconds_per_epoch"]
        _ = results["data"]["dataset"], results["seed"]
    except (KeyError, TypeError) as error:
        raise RefusedError(
            f"the results of run {run.name} lack {error}, so another version wrote them; run `iisan evaluate` or train "
            "again"
        ) from None


def dataset_of(run: RunFacts) -> Dataset:
    """The dataset that a finished run was trained on."""
    assert run.config is not None, "only finished runs come here"
    return read_dataset(run.config.dataset)


def histories_of(run: RunFacts) -> Histories:
    """The histories of a finished run's users, now and as they were measured."""
    assert run.config is not None, "only finished runs come here"
    dataset, protocol = dataset_of(run), run.config.protocol
    changed = stamp(dataset.folder / "interactions.parquet")
    return _histories(str(dataset.folder), changed, protocol.model_dump_json(), dataset, protocol)


@st.cache_resource(max_entries=8, show_spinner=False)
def _histories(folder: str, changed: Stamp, protocol: str, _dataset: Dataset, _protocol: ProtocolConfig) -> Histories:
    return Histories(_dataset, _protocol)


def popularity_of(dataset: Dataset) -> pl.DataFrame:
    """Interactions of every item of the log: `item_id`, `count`."""
    return _popularity(str(dataset.folder), stamp(dataset.folder / "interactions.parquet"), dataset)


@st.cache_resource(max_entries=8, show_spinner=False)
def _popularity(folder: str, changed: Stamp, _dataset: Dataset) -> pl.DataFrame:
    counted = _dataset.interactions.group_by("item_id").agg(count=pl.len())
    return _dataset.items.select("item_id").join(counted, on="item_id", how="left").fill_null(0)


def distributions_of(dataset: Dataset) -> dict[str, pl.DataFrame]:
    """The tables behind the charts of a dataset; `time` only where timestamps are moments."""
    return _distributions(str(dataset.folder), dataset_stamp(dataset.folder), dataset)


@st.cache_resource(max_entries=8, show_spinner=False)
def _distributions(folder: str, changed: Stamp, _dataset: Dataset) -> dict[str, pl.DataFrame]:
    curve = popularity_curve(_dataset)
    tables = {"lengths": sequence_lengths(_dataset), "popularity": curve, "coverage": coverage(_dataset)}
    if has_times(_dataset.interactions):
        tables["time"] = interactions_over_time(_dataset)
    return tables | {"inequality": curve}


def cache_manifests(workspace: Workspace) -> list[CacheFacts]:
    """All caches of the workspace, by dataset and name; arrays are not opened."""
    shelves = sorted(p for p in (workspace.root / "caches").glob("*") if p.is_dir())
    return [_read_cache(folder) for shelf in shelves for folder in folders(shelf, with_file=MANIFEST)]


def _read_cache(folder: Path) -> CacheFacts:
    disk_bytes = sum(size for _, size in stamp(folder / STATES, folder / ITEM_IDS))
    try:
        return CacheFacts(folder, _manifest(str(folder), stamp(folder / MANIFEST)), disk_bytes)
    except IisanError as error:
        return CacheFacts(folder, None, disk_bytes, str(error))


@lru_cache(maxsize=MOST_LISTED)
def _manifest(folder: str, changed: Stamp) -> CacheManifest:
    return read_manifest(Path(folder))
