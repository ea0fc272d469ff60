import polars as pl

from iisan_core.experiments.differences import config_differences
from iisan_core.experiments.tables import as_markdown, with_spread


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


def test_a_mean_and_its_spread_share_a_cell():
    table = pl.DataFrame({"run": ["a", "b"], "HR": [7.661, 2.0], "HR_deviation": [0.104, None], "n": [1200, 3]})
    assert with_spread(table).rows() == [("a", "7.66 ± 0.10", 1200), ("b", "2.00", 3)]
    table = pl.DataFrame({"HR": [7.0], "HR_low": [6.5], "HR_high": [7.25]})
    assert with_spread(table).rows() == [("7.00 (6.50 to 7.25)",)]


def test_markdown_shows_figures_as_people_read_them():
    table = pl.DataFrame(
        {"run_name": ["a|b", None], "HR@10": [7.661, 2.0], "users": [12076, None], "ok": [True, False]}
    )
    assert as_markdown(table).splitlines() == [
        "| run name | HR@10 | users | ok |",
        "| --- | ---: | ---: | --- |",
        "| a\\|b | 7.66 | 12,076 | yes |",
        "| – | 2.00 | – | no |",
    ]
