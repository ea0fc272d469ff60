"""In what runs differ: their settings, and – user by user – what they measure."""

import polars as pl
import pytest

from iisan_core.errors import RefusedError
from iisan_core.experiments.differences import config_differences, paired_differences


def test_only_what_differs_is_listed(make_run):
    table = config_differences([make_run("a", [1], seed=1), make_run("b", [1], bottleneck=8, seed=2)])
    assert table.columns == ["setting", "a", "b"]
    assert table.rows() == [("model.bottleneck", "64", "8"), ("training.seed", "1", "2")]


def test_equal_configurations_differ_in_nothing(make_run):
    table = config_differences([make_run("a", [1]), make_run("b", [1])])
    assert (table.columns, table.height) == (["setting", "a", "b"], 0)


def test_equal_names_are_told_apart_by_their_paths(make_run):
    runs = [make_run("x/a", [1], seed=1), make_run("y/a", [1], seed=2)]
    assert config_differences(runs).columns == ["setting", *(str(run.path) for run in runs)]


HIT, MISS = 1, 50


def test_a_difference_beyond_chance_is_told_from_one_within(make_run):
    base = make_run("base", [HIT] * 20 + [MISS] * 80)
    better = make_run("better", [HIT] * 40 + [MISS] * 60)
    other = make_run("other", [MISS] + [HIT] * 20 + [MISS] * 79)
    table = paired_differences([better, other], against=base, metrics=["HR@10"])
    assert table.select("run", "against", "metric", "users").row(0) == ("better", "base", "test_HR@10", 100)
    assert table["difference"].to_list() == pytest.approx([20, 0])
    assert table["beyond_chance"].to_list() == [True, False]
    low, high = table.select("low", "high").row(0)
    error = 100 * (0.2 * 0.8 / 100) ** 0.5
    assert (low, high) == (pytest.approx(20 - 1.96 * error, abs=2), pytest.approx(20 + 1.96 * error, abs=2))


def test_users_are_paired_by_name_not_by_row(make_run):
    base, turned = make_run("base", [HIT, MISS] * 10), make_run("turned", [HIT, MISS] * 10)
    pl.read_parquet(turned.ranks).reverse().write_parquet(turned.ranks)
    (row,) = paired_differences([turned], against=base, metrics=["HR@10"]).rows(named=True)
    assert (row["difference"], row["low"], row["high"]) == (0, 0, 0)


def test_seeds_are_averaged_for_every_user(make_run):
    base = make_run("base", [MISS] * 10)
    seeds = [make_run("s-0", [HIT] * 10, seed=0), make_run("s-1", [MISS] * 10, seed=1)]
    (row,) = paired_differences([seeds], against=base, metrics=["HR@10"]).rows(named=True)
    assert (row["run"], row["difference"], row["low"], row["high"]) == ("s", 50, 50, 50)


@pytest.mark.parametrize(
    ("other", "match"),
    [
        ({"ranks": [1, 2, 3]}, "measured on 2 users, a on 3"),
        ({"ranks": [1, 2], "items": 99}, "ranks 99 items, a 100"),
        ({"ranks": [1, 2], "targets": ["x", "u1"]}, "other test targets for the same users"),
    ],
)
def test_what_was_measured_on_something_else_is_refused(make_run, other, match):
    base = make_run("a", [1, 2] if len(other["ranks"]) == 2 else [1, 2, 3])
    one = make_run("b", [1, 2], **{k: v for k, v in other.items() if k != "ranks"})
    with pytest.raises(RefusedError, match=match):
        paired_differences([one], against=base)
