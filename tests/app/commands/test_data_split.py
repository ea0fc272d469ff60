"""`iisan data split`: files of interactions become the labels that a split as given goes by."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from iisan_core.data.dataset import Dataset


def test_files_of_ones_own_columns_label_the_log(shell: Callable[..., Any], world: Any, tmp_path: Path) -> None:
    data = Path(shutil.copytree(world.dataset.folder, tmp_path / "data"))
    log = world.dataset.interactions.rename({"user_id": "customer", "item_id": "sku", "timestamp": "at"})
    by_user = log.group_by("customer", maintain_order=True)
    by_user.last().write_csv(tmp_path / "test.csv")
    by_user.agg(pl.all().get(-2)).write_csv(tmp_path / "valid.csv")
    files = ("--valid", tmp_path / "valid.csv", "--test", tmp_path / "test.csv")
    columns = ("--user-id", "customer", "--item-id", "sku", "--timestamp", "at")
    outcome = shell("data", "split", data, *files, *columns, "--json")
    assert outcome.code == 0, outcome.err
    users = log["customer"].n_unique()
    assert json.loads(outcome.out) | {"folder": ""} == {
        "folder": "", "train": log.height - 2 * users, "valid": users, "test": users
    }  # fmt: skip
    labels = Dataset.load(data).interactions.group_by("user_id").agg(pl.col("subset").last())
    assert set(labels["subset"]) == {"test"}
