"""`iisan export`: every target leaves a folder that says what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from app.commands.export import Target
from iisan_core.runs.run_folder import RunFolder
from iisan_core.serving.model_files import FORMS as ENCODERS
from iisan_core.serving.stores import STORES
from iisan_core.serving.vectors import FORMS as VECTORS

pytestmark = pytest.mark.usefixtures("one_thread")
Shell = Callable[..., Any]


def test_every_target_of_the_library_can_be_named() -> None:
    assert set(get_args(Target)) == {*VECTORS, *ENCODERS, *STORES, "faiss"}


@pytest.mark.parametrize("target", ["parquet", "npy", "lancedb"])
def test_vectors(shell: Shell, finished: RunFolder, tmp_path: Path, target: str) -> None:
    told = shell("export", finished.path, "--to", target, "--out", tmp_path / "out", "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out) == json.loads((tmp_path / "out" / "export.json").read_text())
    assert "README.md there says what is in it" in told.err
    again = shell("export", finished.path, "--to", target, "--out", tmp_path / "out")
    assert again.code == 2 and "exists already" in again.err


def test_an_index_and_recommendations_by_way_of_it(shell: Shell, finished: RunFolder, tmp_path: Path) -> None:
    told = shell("export", finished.path, "--to", "faiss", "--out", tmp_path / "index")
    assert told.code == 0, told.err
    assert "flat, which finds 100.0% of the best ten by product" in told.err
    answers = [
        json.loads(shell("recommend", finished.path, "--user", "u03", "-k", "5", "--json", *options).out)
        for options in ((), ("--index", tmp_path / "index"))
    ]
    exact, found = ([item["item_id"] for item in answer[0]["recommended"]] for answer in answers)
    assert exact == found
    refused = shell("recommend", finished.path, "--user", "u03", "--index", tmp_path)
    assert refused.code == 2 and "no index at" in refused.err


@pytest.mark.long
def test_encoders(shell: Shell, finished: RunFolder, tmp_path: Path) -> None:
    told = shell("export", finished.path, "--to", "torch-export", "--out", tmp_path / "out")
    assert told.code == 0, told.err
    assert f"python {tmp_path / 'out' / 'serve.py'} ITEM" in " ".join(told.err.split())
    assert (tmp_path / "out" / "serve.py").is_file()
