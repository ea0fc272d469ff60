import polars as pl
import pytest

from iisan_core.errors import RefusedError
from iisan_core.experiments.leaderboard import leaderboard, tpme

FIGURES = {"full": (440, 200, 47), "cached": (22, 4, 3), "adapter": (350, 4, 37)}


@pytest.fixture
def methods(make_run):
    names = ("seconds_per_epoch", "trainable_parameters", "peak_memory_bytes")
    return [make_run(n, [1], efficiency=dict(zip(names, f, strict=True))) for n, f in FIGURES.items()]


def test_each_column_is_normalised_and_weighted(methods):
    found = dict(tpme(leaderboard(methods)).select("run", "tpme").iter_rows())
    assert found["full"] == pytest.approx(0.45 + 0.10 + 0.45)
    assert found["cached"] == pytest.approx(0)
    assert found["adapter"] == pytest.approx(0.45 * (350 - 22) / (440 - 22) + 0 + 0.45 * (37 - 3) / (47 - 3))


def test_a_column_without_spread_counts_nothing(methods):
    table = leaderboard(methods).with_columns(peak_memory_bytes=pl.lit(5))
    assert tpme(table)["tpme"].max() == pytest.approx(0.45 + 0.10)


def test_a_run_without_costs_is_not_in_the_set(methods, make_run):
    popular = make_run("popular", [2], efficiency={"seconds_per_epoch": None})
    table = tpme(leaderboard([*methods, popular]))
    assert table.filter(run="popular")["tpme"].to_list() == [None]
    assert table.drop_nulls("tpme").select("run", "tpme").equals(tpme(leaderboard(methods)).select("run", "tpme"))


def test_one_method_has_none(methods):
    with pytest.raises(RefusedError, match="TPME compares methods, and 1 of 1 runs has time"):
        tpme(leaderboard(methods[:1]))


@pytest.mark.parametrize(
    ("other", "match"),
    [
        ({"dataset": "other"}, "holds within one dataset"),
        ({"batch_size": 512}, r"holds within one batch size, these runs have \[64, 512\]"),
        ({"efficiency": {"device": "GPU"}}, "holds within one device"),
    ],
)
def test_unlike_conditions_are_refused(methods, make_run, other, match):
    with pytest.raises(RefusedError, match=match):
        tpme(leaderboard([*methods, make_run("other", [50], **other)]))
