import shutil

import pytest

from iisan_core.comparison import leaderboard
from iisan_core.errors import RefusedError
from iisan_core.run_folder import RunFolder


def test_the_leaderboard_shows_the_best_first(finished, tmp_path):
    better = RunFolder(shutil.copytree(finished.path, tmp_path / "better"))
    results = better.results()
    results["quality"]["test"]["HR@10"] += 1
    better.write_results(results)

    table = leaderboard([finished, better])

    assert table["run"].to_list() == ["better", "finished"]
    row = table.row(1, named=True)
    assert (row["dataset"], row["towers"], row["seed"]) == ("tiny world", "image + text + inter", 0)
    for part in ("valid", "test"):
        for metric in ("HR@10", "NDCG@10"):
            assert row[f"{part}_{metric}"] == finished.results()["quality"][part][metric]
    for cost in ("best_epoch", "seconds_per_epoch", "trainable_parameters", "peak_memory_bytes"):
        assert row[cost] == finished.results()["efficiency"][cost]


def test_a_run_without_results_is_refused(world, finished, tmp_path):
    begun = RunFolder.create(tmp_path / "begun", config=world.config(), command="")
    with pytest.raises(RefusedError, match="begun has no results yet"):
        leaderboard([finished, begun])
