"""`iisan evaluate` and `compare` on run folders with made-up ranks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from iisan_core.config.schema import RunConfig
from iisan_core.evaluation.lists import BEYOND, beyond_accuracy
from iisan_core.evaluation.metrics import summary
from iisan_core.runs.run_folder import RunFolder

HIT, MISS = 1, 60
USERS = 40


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Three seeds of one configuration, and a better one; half of the targets are repeats, a quarter cold."""
    hits = {"small-0": 8, "small-1": 10, "small-2": 12, "wide": 30}
    return [made(tmp_path / name, seed=n % 3, hits=count).path for n, (name, count) in enumerate(hits.items())]


def made(path: Path, *, seed: int, hits: int) -> RunFolder:
    model, training = {"bottleneck": 8 if "small" in path.name else 64}, {"seed": seed}
    raw = {"dataset": "/data/shop", "caches": {"text": "/data/cache"}, "model": model, "training": training}
    run = RunFolder.create(path, config=RunConfig.model_validate(raw), command="")
    ranks = pl.Series([HIT] * hits + [MISS] * (USERS - hits))
    table = pl.DataFrame({"user_id": [f"u{n}" for n in range(USERS)], "valid": ranks, "test": ranks})
    table = table.with_columns(
        test_unmasked=pl.lit(HIT),
        test_interactions=pl.Series([0] * 10 + [3] * 20 + [90] * 10),
        test_history=pl.Series([4] * 20 + [9] * 20),
        test_repeated=pl.Series([False, True] * 20),
        test_top=pl.Series([[1, 2]] * 20 + [[1, 3 + hits]] * 20),
        test_novelty=pl.Series([2.0, 4.0] * 20) + hits,
        test_popularity=pl.Series([6.0] * USERS),
        test_history_popularity=pl.Series([3.0] * USERS),
        test_cold=pl.Series([0.0, 0.5] * 20),
        test_diversity=pl.Series([0.5] * (USERS - 1) + [None]),
    )
    table.write_parquet(run.ranks)
    efficiency = {"seconds_per_epoch": 1.0 + hits, "trainable_parameters": 10, "peak_memory_bytes": hits}
    quality = summary(ranks.to_numpy())
    run.write_results(
        {
            "quality": {"valid": quality, "test": quality},
            "beyond": beyond_accuracy(table, items=100),
            "efficiency": efficiency | {"device": "cpu", "best_epoch": 1},
            "data": {"dataset": "shop", "items": 100},
            "protocol": {"min_interactions": 5, "max_history": 10},
            "seed": seed,
        }
    )
    return run


def rows(outcome: Any) -> list[dict[str, Any]]:
    assert outcome.code == 0, outcome.err
    found: list[dict[str, Any]] = json.loads(outcome.out)
    return found


def test_evaluate_groups_and_names_the_protocol(shell: Callable[..., Any], runs: list[Path]) -> None:
    table = shell("evaluate", runs[3], "--k", "5", "--by", "popularity")
    assert "cold: never in training" in table.out
    assert "HR@5" in table.out
    assert "HR@10" not in table.out
    assert "100 items ranked, history masked" in table.err
    found = rows(shell("evaluate", runs[3], "--k", "5", "--by", "popularity", "--json"))
    assert [(row["users"], row["HR@5"]) for row in found] == [(40, 75), (10, 100), (20, 100), (10, 0)]
    assert all("history masked" in row["protocol"] for row in found)
    (row,) = rows(shell("evaluate", runs[3], "--repeats", "--json"))
    assert row["HR@5"] == 100
    assert "repeats count" in row["protocol"]


def test_evaluate_still_reads_the_old_name_of_subset(shell: Callable[..., Any], runs: list[Path]) -> None:
    old, new = (rows(shell("evaluate", runs[3], option, "valid", "--json")) for option in ("--part", "--subset"))
    assert old == new
    assert new[0]["part"] == "valid"
    assert "--part" not in shell("evaluate", "--help").out


def test_evaluate_beyond_accuracy(shell: Callable[..., Any], runs: list[Path]) -> None:
    table = shell("evaluate", runs[3], "--k", "10", "--beyond", "--by", "length")
    assert table.out.index("MRR@10") < table.out.index("Coverage@10") < table.out.index("Cold@10")
    for name, meaning in BEYOND.items():
        assert f"{name}: {meaning}" in table.err
    everybody, short, long = rows(shell("evaluate", runs[3], "--beyond", "--by", "length", "--json"))
    assert (everybody["Coverage@10"], short["Coverage@10"], long["Coverage@10"]) == (3, 2, 2)
    assert (everybody["Novelty@10"], everybody["Cold@10"], everybody["PopRatio@10"]) == (33, 25, 2)
    (row,) = rows(shell("evaluate", runs[3], "--beyond", "--intervals", "--json"))
    assert row["Novelty@10_low"] < row["Novelty@10"] < row["Novelty@10_high"]
    for option in (("--subset", "valid"), ("--repeats",)):
        refused = shell("evaluate", runs[3], "--beyond", *option)
        assert refused.code == 2
        assert "without --repeats and with --subset test" in refused.err


def test_compare_beyond_accuracy(shell: Callable[..., Any], runs: list[Path]) -> None:
    found = rows(shell("compare", *runs, "--beyond", "--sort", "test_Novelty@10", "--json"))
    assert [(row["run"], row["test_Novelty@10"]) for row in found] == [
        ("wide", 33), ("small-2", 15), ("small-1", 13), ("small-0", 11),
    ]  # fmt: skip
    assert {f"test_{name}" for name in BEYOND} <= set(found[0])
    assert "valid_Novelty@10" not in found[0]
    table = shell("compare", *runs, "--beyond")
    assert "Coverage@10: share of the catalogue" in table.err
    assert "peak memory" not in table.out, "what fits on a screen: costs have a table of their own"
    assert "13.00 ± 2.00" in shell("compare", *runs, "--seeds", "--metric", "Novelty@10").out
    paired = rows(shell("compare", *runs, "--against", runs[0], "--metric", "Novelty@10", "--json"))
    assert [(row["run"], row["difference"]) for row in paired] == [("small-1", 2), ("small-2", 4), ("wide", 22)]
    pairs = rows(shell("compare", runs[3], "--against", runs[0], "--beyond", "--json"))
    assert [row["metric"] for row in pairs][2:] == [
        f"test_{name}" for name in ("Novelty@10", "Popularity@10", "Diversity@10", "Cold@10")
    ]
    assert [row["users"] for row in pairs][2:] == [USERS, USERS, USERS - 1, USERS]
    table = RunFolder.open(runs[0]).ranks
    pl.read_parquet(table).with_columns(test_diversity=pl.lit(None, dtype=pl.Float64)).write_parquet(table)
    pairs = rows(shell("compare", runs[3], "--against", runs[0], "--beyond", "--json"))
    assert (pairs[4]["metric"], pairs[4]["users"], pairs[4]["difference"]) == ("test_Diversity@10", 0, None)


def test_a_run_of_before_has_no_figures_beside_accuracy(shell: Callable[..., Any], runs: list[Path]) -> None:
    run = RunFolder.open(runs[0])
    pl.read_parquet(run.ranks).select("user_id", "valid", "test").write_parquet(run.ranks)
    run.write_results({name: value for name, value in run.results().items() if name != "beyond"})
    outcome = shell("compare", *runs, "--beyond", "--json")
    figures = {row["run"]: row["test_Coverage@10"] for row in rows(outcome)}
    assert figures == {"wide": 3, "small-2": 3, "small-1": 3, "small-0": None}
    assert "small-0 was trained before figures beside accuracy" in outcome.err
    assert outcome.err.count("was trained before") == 1
    assert "was trained before" not in shell("compare", *runs[1:], "--metric", "Diversity@10").err
    assert shell("compare", *runs, "--beyond", "--intervals").code == 0
    alone = shell("evaluate", run.path, "--beyond")
    assert alone.code == 2
    assert "--beyond --anew" in alone.err


def test_compare_as_people_read_it(shell: Callable[..., Any], runs: list[Path]) -> None:
    plain = shell("compare", *runs)
    assert plain.out.index("wide") < plain.out.index("small-2") < plain.out.index("small-0")
    assert "leave-one-out" in plain.err
    assert "75.00 (" in shell("compare", runs[3], "--intervals").out
    assert "25.00 ± 5.00" in shell("compare", *runs, "--seeds").out
    assert shell("compare", *runs, "--differences").out.count("model.bottleneck") == 1


def test_compare_sorts_and_adds_tpme(shell: Callable[..., Any], runs: list[Path]) -> None:
    outcome = shell("compare", *runs, "--tpme", "--sort", "tpme", "--json")
    found = rows(outcome)
    assert [row["run"] for row in found] == ["small-0", "small-1", "small-2", "wide"]
    assert [round(row["tpme"], 2) for row in found] == [0, 0.08, 0.16, 0.9]
    assert "depends on its set: small-0, small-1, small-2, wide" in outcome.err
    assert {"seconds_per_epoch", "trainable_parameters", "peak_memory_bytes"} <= set(found[0])


def test_compare_against_a_run_and_its_seeds(shell: Callable[..., Any], runs: list[Path]) -> None:
    found = rows(shell("compare", *runs, "--against", runs[0], "--metric", "HR@10", "--json"))
    assert [(row["run"], row["difference"]) for row in found] == [("small-1", 5), ("small-2", 10), ("wide", 55)]
    (row,) = rows(shell("compare", *runs, "--against", runs[0], "--seeds", "--metric", "HR@10", "--json"))
    (row,) = rows(shell("compare", *runs, "--against", runs[0], "--seeds", "--metric", "HR@10", "--json"))
    assert (row["run"], row["against"], round(row["difference"], 6)) == ("wide", "small", 50)
    assert row["beyond_chance"]


def test_every_form_to_stdout_or_a_file(shell: Callable[..., Any], runs: list[Path], tmp_path: Path) -> None:
    names = ["wide", "small-2", "small-1", "small-0"]
    csv = shell("compare", *runs, "--csv").out
    assert pl.read_csv(io.StringIO(csv))["run"].to_list() == names
    markdown = shell("compare", *runs, "--seeds", "--markdown").out
    assert "| small | shop | text | 3 | 0, 1, 2 | 25.00 ± 5.00 |" in markdown
    for form in ("csv", "markdown", "json"):
        direct = shell("compare", *runs, f"--{form}").out
        written = shell("compare", *runs, f"--{form}", "--out", tmp_path / form)
        assert (written.out, (tmp_path / form).read_text()) == ("", direct)


def test_broken_runs_are_named_and_hide_no_other(shell: Callable[..., Any], runs: list[Path], tmp_path: Path) -> None:
    (runs[0] / "results.json").unlink()
    outcome = shell("compare", *runs, tmp_path / "nowhere", "--json")
    assert [row["run"] for row in rows(outcome)] == ["wide", "small-2", "small-1"]
    assert f"left out {runs[0]}: " in outcome.err
    assert f"left out {tmp_path / 'nowhere'}: " in outcome.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--csv", "--json"), "one call prints one table in one form"),
        (("--out", "x.csv"), "say in which form"),
        (("--sort", "speed"), "no column 'speed' to sort by"),
        (("--metric", "AUC@10"), "no metric 'AUC@10'"),
        (("--against", "{run}", "--differences"), "--against and --differences do not go together"),
        (("--against", "{run}", "--sort", "run"), "--against and --sort do not go together"),
        (("--metric", "HR@5", "--differences"), "--metric and --differences do not go together"),
        (("--beyond", "--differences"), "--beyond and --differences do not go together"),
        (("--against", "{run}", "--metric", "Gini@10"), "Gini@10 is one figure of all users' lists together"),
        (("--metric", "Coverage@20"), "no figure 'Coverage@20': lists of 10 are kept"),
        (("--seeds", "--intervals"), "--seeds and --intervals do not go together"),
    ],
)
def test_bad_calls_are_refused(
    shell: Callable[..., Any], runs: list[Path], arguments: tuple[str, ...], sentence: str
) -> None:
    outcome = shell("compare", *runs, *(a.format(run=runs[0]) for a in arguments))
    assert outcome.code == 2
    assert sentence in outcome.err


def test_one_run_alone_has_nothing_to_be_held_against(shell: Callable[..., Any], runs: list[Path]) -> None:
    for flags in ((), ("--seeds",)):
        outcome = shell("compare", runs[0], "--against", runs[0], *flags)
        assert outcome.code == 2
        assert "there is no other run to hold against it" in outcome.err
