"""What every test shares: quiet, offline, few threads, a finished `iisan demo`, and where real data may lie."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # processors are shared with other workers, by what tests start as well
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["IISAN_RUNTIME"] = tempfile.mkdtemp(prefix="iisan-queues-")  # tests wait for nobody's real trainings

os.environ["IISAN_STATE"] = tempfile.mkdtemp(prefix="iisan-state-")  # and leave nothing in the user's own folder

import torch

from app.jobs.queue import held_devices
from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportRequest
from iisan_core.data.dataset import Dataset

ROOT = Path(__file__).parents[1]
pytest_plugins = ["tests.tiny_world", "tests.tiny_shop"]
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where workers share the tests: the notebooks, minutes as a whole, first; last what waits for their demo."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: {"test_notebooks.py": 0, "test_demo.py": 2}.get(item.path.name, 1))


@dataclass(frozen=True)
class Demo:
    """A call of `iisan demo`, and the workspace it worked in."""

    workspace: Path
    code: int
    out: str
    err: str


def call_demo(workspace: Path) -> Demo:
    """Call `iisan demo` as a new user would, in a process of its own, on one thread."""
    ended = subprocess.run(
        [sys.executable, "-c", "from app.cli import main; main()", "demo"],
        env={"IISAN_WORKSPACE": str(workspace), "PATH": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return Demo(workspace, ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The first call, made once for all workers; tests may add to the workspace, as whoever goes on in it does."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "demo"
    said = folder / "said.json"
    with FileLock(f"{folder}.lock"):
        if not said.exists():
            first = call_demo(folder / "workspace")
            said.write_text(json.dumps({"code": first.code, "out": first.out, "err": first.err}), encoding="utf-8")
    return Demo(folder / "workspace", **json.loads(said.read_text(encoding="utf-8")))


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that change records by hand, as those of folders may be that were made before there were checksums."""
    monkeypatch.setattr("iisan_core.files.checksums._home_of", lambda path: None)


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


@pytest.fixture(scope="session")
def cases_folder() -> Path:
    """Small files that users' files resemble: `IISAN_CASES`, by default beside the project."""
    folder = _shared("IISAN_CASES", "cases")
    if not folder.is_dir():
        pytest.skip(f"no cases at {folder}; set IISAN_CASES to a folder that holds them")
    return folder
