"""Small inputs like users' files, with the right value of each: `IISAN_CASES`, by default beside the project."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportOptions, ImportRequest
from iisan_core.data.dataset import Dataset

FOLDER = Path(os.environ.get("IISAN_CASES", Path(__file__).parents[4] / "shared" / "cases"))


@pytest.fixture(scope="session")
def cases() -> Path:
    if not FOLDER.is_dir():
        pytest.skip(f"no cases at {FOLDER}; set IISAN_CASES to a folder that holds them")
    return FOLDER


@pytest.fixture
def bring(cases: Path, tmp_path: Path) -> Callable[..., Dataset]:
    """Import files of the cases by kind, options by name; what is no path of the cases lies at `tmp_path`."""

    def bring(kind: str, items: str, log: str, *, images: str | None = None, **options: str) -> Dataset:
        def place(name: str) -> Path:
            return cases / name if (cases / name).exists() else tmp_path / name

        request = ImportRequest(
            items=place(items),
            interactions=place(log),
            out=tmp_path / "out",
            images=None if images is None else place(images),
            options=ImportOptions(**options),
        )
        return IMPORTERS[kind](request)

    return bring


def history(dataset: Dataset, user: str = "u1") -> list[str]:
    """The items of a user in order."""
    log = dataset.interactions
    return log.filter(log["user_id"] == user)["item_id"].to_list()
