"""`iisan data vectors`: from a file to a cache, and no row is anybody's by guess."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iisan_core import HiddenStateCache
from tests.tiny_shop import Shop


def test_a_file_and_its_ids_become_a_cache(
    shop: Shop, shell: Callable[..., Any], workspace: Path, tmp_path: Path
) -> None:
    ids = shop.dataset.items["item_id"].to_list()
    np.save(tmp_path / "image_feat.npy", np.arange(3 * 5, dtype=np.float32).reshape(3, 5))
    (tmp_path / "ids.txt").write_text("\n".join([ids[4], "nobody's", ids[2]]))
    told = shell(
        "data", "vectors", shop.dataset.folder, "--from", tmp_path / "image_feat.npy", "--ids", tmp_path / "ids.txt",
        "--as", "image", "--made-by", "MMRec", "--json",
    )  # fmt: skip
    assert told.code == 0, told.err
    facts = json.loads(told.out)
    assert (facts["items_without"], facts["unknown_ids"], facts["made_by"]) == (len(ids) - 2, 1, "MMRec")
    cache = HiddenStateCache.open(facts["cache"])
    assert workspace in cache.folder.parents
    assert cache.gather(cache.rows([ids[2]]))[0].tolist() == [10.0, 11.0, 12.0, 13.0, 14.0]


def test_rows_without_ids_are_taken_in_order_only_when_told(
    shop: Shop, shell: Callable[..., Any], workspace: Path, tmp_path: Path
) -> None:
    rows = np.random.default_rng(0).normal(size=(shop.dataset.items.height, 2)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    arguments = ("data", "vectors", shop.dataset.folder, "--from", tmp_path / "rows.npy", "--as", "own")
    refused = shell(*arguments)
    assert refused.code == 2
    assert "does not say whose its 60 rows are" in refused.err and "--in-order" in refused.err
    told = shell(*arguments, "--in-order")
    assert told.code == 0, told.err
    (folder,) = workspace.rglob("own-rows.npy-*")
    np.testing.assert_array_equal(HiddenStateCache.open(folder).load().numpy(), rows)
    np.save(tmp_path / "rows.npy", rows[:-1])
    assert "59 rows for 60 item ids" in shell(*arguments, "--in-order").err


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_number_format_can_be_chosen(
    shop: Shop, shell: Callable[..., Any], workspace: Path, tmp_path: Path, dtype: str
) -> None:
    np.save(tmp_path / "rows.npy", np.full((60, 2), 0.1, np.float32))
    told = shell(
        "data", "vectors", shop.dataset.folder, "--from", tmp_path / "rows.npy", "--as", "own", "--in-order",
        "--dtype", dtype, "--json",
    )  # fmt: skip
    assert json.loads(told.out)["dtype"] == dtype
