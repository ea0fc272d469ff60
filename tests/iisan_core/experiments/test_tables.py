import polars as pl

from iisan_core.experiments.tables import as_markdown, with_spread


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
