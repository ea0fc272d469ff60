"""Runs as rows of one table, and seeds of one configuration as one row."""

import shutil

import pytest

from iisan_core.errors import RefusedError
from iisan_core.experiments.leaderboard import group_name, leaderboard, readable_runs, seed_groups, seed_table
from iisan_core.runs.run_folder import RunFolder


def test_the_leaderboard_shows_the_best_first(finished, tmp_path):
    better = RunFolder(shutil.copytree(finished.path, tmp_path / "better"))
    results = better.results()
    results["quality"]["test"]["HR@10"] += 1
    better.write_results(results)

    table = leaderboard([finished, better])

    assert table["run"].to_list() == ["better", "finished"]
    row = table.row(1, named=True)
    assert (row["dataset"], row["towers"], row["seed"]) == ("tiny world", "image + text + inter", 0)
    for subset in ("valid", "test"):
        for metric in ("HR@10", "NDCG@10"):
            assert row[f"{subset}_{metric}"] == finished.results()["quality"][subset][metric]
    for cost in ("best_epoch", "seconds_per_epoch", "trainable_parameters", "peak_memory_bytes"):
        assert row[cost] == finished.results()["efficiency"][cost]


def test_a_run_without_results_is_refused(world, finished, tmp_path):
    begun = RunFolder.create(tmp_path / "begun", config=world.config(), command="")
    with pytest.raises(RefusedError, match="begun has no results yet"):
        leaderboard([finished, begun])


def test_any_metric_may_be_shown_and_sorted_by(make_run):
    quick, good = make_run("quick", [1, 30], efficiency={"seconds_per_epoch": 0.5}), make_run("good", [2, 3])
    table = leaderboard([quick, good], metrics=["MRR@30"])
    assert table["run"].to_list() == ["quick", "good"]
    assert table["test_MRR@30"].to_list() == pytest.approx([100 * (1 + 1 / 30) / 2, 100 * (1 / 2 + 1 / 3) / 2])
    assert leaderboard([quick, good])["run"].to_list() == ["good", "quick"]
    assert leaderboard([good, quick], sort="seconds_per_epoch")["run"].to_list() == ["quick", "good"]
    assert leaderboard([quick, good], sort="run")["run"].to_list() == ["good", "quick"]


def test_gaps_sort_last(make_run):
    free, costly = make_run("free", [1], efficiency={"seconds_per_epoch": None}), make_run("costly", [2])
    assert leaderboard([free, costly], sort="seconds_per_epoch")["run"].to_list() == ["costly", "free"]


def test_intervals_stand_beside_their_figures(make_run):
    (row,) = leaderboard([make_run("a", [1, 30] * 40)], intervals=True).rows(named=True)
    error = 100 * 0.5 / 80**0.5
    assert row["test_HR@10_low"] == pytest.approx(50 - 1.96 * error, abs=2)
    assert row["test_HR@10_high"] == pytest.approx(50 + 1.96 * error, abs=2)


def test_what_cannot_be_shown_is_refused(make_run):
    run = make_run("a", [1])
    with pytest.raises(RefusedError, match="no column 'speed' to sort by; there are run, dataset"):
        leaderboard([run], sort="speed")
    with pytest.raises(
        RefusedError, match="no metric 'AUC'; give one of HR, NDCG, MRR, Recall, Precision, MAP with a cut-off"
    ):
        leaderboard([run], metrics=["AUC"])
    with pytest.raises(RefusedError, match="nothing to compare"):
        leaderboard([])


@pytest.mark.usefixtures("by_hand")
def test_a_broken_run_is_named_and_hides_no_other(make_run, tmp_path):
    good, half, torn, cut = (make_run(name, [1]) for name in ("good", "half", "torn", "cut"))
    (half.path / "results.json").unlink()
    (torn.path / "results.json").write_text('{"quality": ')
    cut.write_results({"quality": {}})
    found = readable_runs([good.path, half.path, good.path, torn.path, cut.path, tmp_path / "nowhere"])
    assert found.runs == [good]
    assert "has no results yet" in found.left_out[str(half.path)]
    assert "not valid JSON" in found.left_out[str(torn.path)]
    assert "lacks 'data'" in found.left_out[str(cut.path)]
    assert "is no run folder" in found.left_out[str(tmp_path / "nowhere")]


def test_runs_that_differ_in_the_seed_only_are_one_row(make_run):
    ranks = {2: [1, 1, 30, 30], 0: [1, 30, 30, 30], 1: [1, 1, 1, 30]}
    seeds = [make_run(f"small-{seed}", ranks[seed], seed=seed, bottleneck=8) for seed in ranks]
    wide = make_run("wide", [1, 1, 1, 1])

    assert [[run.name for run in group] for group in seed_groups([*seeds, wide])] == [
        ["small-0", "small-1", "small-2"],
        ["wide"],
    ]
    best, row = seed_table([*seeds, wide]).rows(named=True)
    assert (best["run"], best["test_HR@10_deviation"]) == ("wide", None)
    assert (row["run"], row["runs"], row["seeds"]) == ("small", 3, "0, 1, 2")
    assert row["test_HR@10"] == pytest.approx((25 + 75 + 50) / 3)
    assert row["test_HR@10_deviation"] == pytest.approx(25)
    assert (row["seconds_per_epoch"], row["device"]) == (1.0, "cpu")


def test_seeds_on_unlike_devices_have_none(make_run):
    runs = [make_run(f"a{n}", [1], seed=n, efficiency={"device": f"cpu {n}"}) for n in range(2)]
    assert seed_table(runs)["device"].to_list() == [None]


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["t-0", "t-1"], "t"), (["one"], "one"), (["run_1", "run_12"], "run_1"), (["a", "b"], "a")],
)
def test_a_group_is_called_by_what_its_names_share(names, expected):
    assert group_name(names) == expected
