import pytest

from iisan_core.experiments.leaderboard import group_name, seed_groups, seed_table


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
