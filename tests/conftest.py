"""What every test shares: quiet, offline, two threads, and where real data and golden tensors may lie."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["IISAN_RUNTIME"] = tempfile.mkdtemp(prefix="iisan-queues-")  # tests wait for nobody's real trainings

import torch

from app.jobs.queue import held_devices
from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportRequest
from iisan_core.data.dataset import Dataset

ROOT = Path(__file__).parents[1]
pytest_plugins = ["tests.tiny_world", "tests.tiny_shop"]
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))


@pytest.fixture(autouse=True)
def _devices_given_back() -> Iterator[None]:
    """A test that left a device taken would let later ones, and what they start, pass without waiting."""
    yield
    assert held_devices() == set()


def _shared(variable: str, folder: str) -> Path:
    return Path(os.environ.get(variable, ROOT.parent / "shared" / folder))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real data sets: `IISAN_DATA`, by default beside the project."""
    folder = _shared("IISAN_DATA", "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set IISAN_DATA to a folder that holds it")
    return folder


@pytest.fixture(scope="session")
def weights_folder() -> Path:
    """Small real backbones: `IISAN_WEIGHTS`, by default beside the project."""
    folder = _shared("IISAN_WEIGHTS", "weights")
    if not folder.is_dir():
        pytest.skip(f"no backbones at {folder}; set IISAN_WEIGHTS to a folder that holds them")
    return folder


@pytest.fixture(scope="session")
def scientific(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Amazon Industrial & Scientific, imported."""
    source = data_folder / "scientific"
    request = ImportRequest(
        items=source / "items.tsv",
        interactions=source / "users.tsv",
        out=tmp_path_factory.mktemp("data") / "scientific",
    )
    return IMPORTERS["iisan-tsv"](request)


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """Golden tensors: `IISAN_GOLDEN`, else beside the project, else the three committed here."""
    folder = _shared("IISAN_GOLDEN", "golden")
    return folder if folder.is_dir() else ROOT / "tests" / "golden"
