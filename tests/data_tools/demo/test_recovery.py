"""Quality by what a user's taste hangs on."""

from pathlib import Path

import polars as pl
import pytest

from data_tools.demo.recovery import by_taste
from data_tools.demo.world import make_demo_world
from iisan_core.errors import RefusedError
from iisan_core.runs.run_folder import RunFolder


def test_every_kind_of_taste_has_its_own_line(tmp_path: Path) -> None:
    dataset = make_demo_world(tmp_path / "world", items=64, users=20)
    kinds = pl.read_parquet(dataset.folder / "truth" / "users.parquet")
    rank_of = {"picture": 1, "title": 3, "combination": 100}
    ranks = kinds.select("user_id", test=pl.col("kind").replace_strict(rank_of, return_dtype=pl.Int64))
    (tmp_path / "run").mkdir()
    run = RunFolder(tmp_path / "run")
    ranks.sample(fraction=1.0, shuffle=True, seed=1).write_parquet(run.ranks)
    table = {row["users"]: row for row in by_taste(run, dataset).iter_rows(named=True)}
    counts = dict(kinds["kind"].value_counts().iter_rows())
    assert [table[f"taste in the {kind}"]["HR@10"] for kind in rank_of] == [100, 100, 0]
    assert table["taste in the title"]["NDCG@10"] == pytest.approx(100 / 2)
    assert table["all users"]["HR@10"] == pytest.approx(100 * (20 - counts["combination"]) / 20)
    assert {name: row["count"] for name, row in table.items() if name != "all users"} == {
        f"taste in the {kind}": count for kind, count in counts.items()
    }


def test_a_real_dataset_has_no_known_truth(tmp_path: Path) -> None:
    dataset = make_demo_world(tmp_path / "world", items=64, users=5)
    (dataset.folder / "truth" / "users.parquet").unlink()
    with pytest.raises(RefusedError, match="nobody knows the truth about"):
        by_taste(RunFolder(tmp_path), dataset)
