"""The way through the shell on a small catalogue: import, extract, train, resume, use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iisan_core.config.presets import load_preset

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # transformers leaves one open

ITEMS, USERS = 40, 30
FAST = ("--set", "model.bottleneck=8", "--set", "model.embedding=16", "--set", "training.device=cpu")


@pytest.fixture
def raw(tmp_path: Path) -> tuple[Path, Path]:
    """Released-format files: users walk along the catalogue in small steps."""
    items, users = tmp_path / "items.tsv", tmp_path / "users.tsv"
    items.write_text("".join(f"i{n}\tbrass &amp; oak lamp number {n}\n" for n in range(ITEMS)))
    walks = [" ".join(f"i{(3 * u + step) % ITEMS}" for step in range(5 + u % 9)) for u in range(USERS)]
    users.write_text("".join(f"u{u}\t{walk}\n" for u, walk in enumerate(walks)))
    return items, users


@pytest.fixture
def imported(shell: Callable[..., Any], raw: tuple[Path, Path], workspace: Path) -> Path:
    folder = workspace / "datasets" / "small"
    items, users = raw
    outcome = shell(
        "data", "import", "iisan-tsv", "--items", items, "--interactions", users, "--out", folder, "--name", "small"
    )
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def extracted(shell: Callable[..., Any], imported: Path) -> dict[str, Any]:
    outcome = shell("extract", imported, "--text", "minilm", "--layers", "0,3,6", "--json")
    assert outcome.code == 0, outcome.err
    (facts,) = json.loads(outcome.out)
    return facts


def test_stats_count_and_check_reports(shell: Callable[..., Any], imported: Path) -> None:
    stats = json.loads(shell("data", "stats", imported, "--json").out)
    assert stats["users"] == USERS
    assert stats["items"] == ITEMS
    assert shell("data", "check", imported).code == 0


def test_extract_says_what_it_cached_and_reuses_it(
    shell: Callable[..., Any], imported: Path, extracted: dict[str, Any]
) -> None:
    assert extracted["layers"] == [0, 3, 6]
    assert extracted["bytes_per_item"] == 3 * 384 * 2
    assert extracted["items_without"] == 0
    again = shell("extract", imported, "--text", "minilm", "--layers", "0,3,6")
    assert "was there already" in again.err


def test_train_stop_resume_use(
    shell: Callable[..., Any], imported: Path, extracted: dict[str, Any], workspace: Path
) -> None:
    run = workspace / "runs" / "first"
    trained = shell("train", imported, "--run", run, "--set", "training.epochs=2", *FAST, "--json")
    assert trained.code == 0, trained.err
    results = json.loads(trained.out)
    assert results["data"]["users"] == USERS
    assert (run / "command.txt").read_text().startswith("iisan train")

    for flags in ([], ["--anew"]):
        (found,) = json.loads(shell("evaluate", run, *flags, "--json").out)
        assert {name: found[name] for name in results["quality"]["test"]} == pytest.approx(results["quality"]["test"])

    answers = json.loads(shell("recommend", run, "--user", "u3", "--user", "u4", "-k", "4", "--json").out)
    assert [a["user"] for a in answers] == ["u3", "u4"]
    for answer in answers:
        items = [r["item_id"] for r in answer["recommended"]]
        assert len(items) == 4
        assert not set(items) & set(answer["history"])
    table = shell("recommend", run, "--history", "i1,i2", "-k", "3")
    assert "brass & oak lamp" in table.out
    assert shell("recommend", run, "--history", " i1, i2,", "-k", "3").out == table.out
    assert "u8: history, the newest 10 of 13 items" in shell("recommend", run, "--user", "u8", "-k", "3").out

    likes = json.loads(shell("similar", run, "--item", "i7", "-k", "4", "--json").out)
    assert len({other["item_id"] for other in likes["similar"]} - {"i7"}) == 4
    assert "lamp number 7" in shell("similar", run, "--item", "i7").out

    why = json.loads(shell("explain", run, "--history", "i1,i2", "--item", "i7", "--json").out)
    assert [part["name"] for part in why["parts"]] == ["text", "frozen text", "together", "bias"]
    assert sum(part["score"] for part in why["parts"]) == pytest.approx(why["score"], abs=1e-5)
    assert [influence["item_id"] for influence in why["influences"]] == ["i1", "i2"]
    table = shell("explain", run, "--user", "u3", "--item", "i7").out
    assert all(words in table for words in ("above mean", "text", "bias", "sum", "lamp number 7", "influence"))

    second = workspace / "runs" / "second"
    shell("train", imported, "--run", second, "--set", "training.epochs=1", *FAST, "--set", "model.head=stacked")
    rows = json.loads(shell("compare", run, second, "--json").out)
    assert {row["run"] for row in rows} == {"first", "second"}
    assert rows == sorted(rows, key=lambda row: -row["test_HR@10"])

    assert shell("stop", run).code == 0
    resumed = shell("resume", run, "--json")
    assert json.loads(resumed.out)["quality"] == results["quality"]


def test_config_file_trains_the_same(
    shell: Callable[..., Any], imported: Path, extracted: dict[str, Any], workspace: Path
) -> None:
    first, second = workspace / "runs" / "a", workspace / "runs" / "b"
    shell("train", imported, "--run", first, "--set", "training.epochs=1", *FAST)
    repeated = shell("train", "--config", first / "config.yaml", "--run", second, "--json")
    assert json.loads(repeated.out)["quality"] == json.loads((first / "results.json").read_text())["quality"]


REFUSED = [
    (("data", "stats", "nowhere"), "no dataset folder at nowhere"),
    (("data", "import", "csv", "--items", "a", "--interactions", "b", "--out", "c"), "no importer 'csv'"),
    (("extract", "{data}"), "nothing to extract"),
    (("extract", "{data}", "--text", "./nowhere"), "there is no such folder"),
    (("extract", "{data}", "--text", "minilm", "--layers", "0,9"), "9"),
    (("extract", "{data}", "--text", "minilm", "--text-field", "caption"), "choose among these"),
    (("train", "{data}"), "make one with `iisan extract`"),
    (("train", "{data}", "--preset", "finest"), "no preset 'finest'"),
    (("train",), "nothing to train on"),
    (("train", "{data}", "--config", "run.yaml"), "--config says all that a dataset folder would"),
    (("train", "--config", "run.yaml", "--preset", "text"), "--config says all that --preset would"),
    (("evaluate", "{data}"), "is no run folder"),
    (("recommend", "{data}"), "give either --user or --history"),
    (("recommend", "{data}", "--history", " , "), "names no items; write their ids with commas between"),
    (("similar", "{data}", "--item", "i1"), "is no run folder"),
    (("similar", "{data}"), "--item"),
    (("explain", "{data}", "--item", "i1"), "give either --user or --history"),
    (("explain", "{data}", "--item", "i1", "--user", "u1"), "is no run folder"),
    (("resume", "{data}"), "is no run folder"),
    (("compare", "{data}"), "is no run folder"),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED)
def test_bad_input_is_refused_with_a_sentence(
    shell: Callable[..., Any], imported: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    outcome = shell(*(a.format(data=imported) for a in arguments))
    assert outcome.code == 2, outcome
    assert sentence in outcome.err
    assert "Traceback" not in outcome.err


def test_bad_settings_are_refused_all_at_once_and_leave_no_run(
    shell: Callable[..., Any], imported: Path, extracted: dict[str, Any], workspace: Path
) -> None:
    settings = ("--set", "training.epochs=many", "--set", "model.wings=2")
    outcome = shell("train", imported, *settings, "--run", workspace / "runs" / "bad")
    assert outcome.code == 2
    assert "training.epochs" in outcome.err
    assert "model.wings: unknown key" in outcome.err
    assert not (workspace / "runs").exists()


@pytest.mark.parametrize("option", [("--user", "nobody"), ("--history", "i1,i999"), ("--user", "u1", "-k", "1000")])
def test_recommend_refuses_what_is_not_there(
    shell: Callable[..., Any], imported: Path, extracted: dict[str, Any], workspace: Path, option: tuple[str, ...]
) -> None:
    run = workspace / "runs" / "one"
    shell("train", imported, "--run", run, "--set", "training.epochs=1", *FAST)
    assert shell("recommend", run, *option).code == 2


def test_cache_of_another_catalogue_is_refused(
    shell: Callable[..., Any], imported: Path, extracted: dict[str, Any], raw: tuple[Path, Path], workspace: Path
) -> None:
    items, users = raw
    items.write_text(items.read_text().replace("brass", "glass"))
    other = workspace / "datasets" / "other"
    shell("data", "import", "iisan-tsv", "--items", items, "--interactions", users, "--out", other)
    outcome = shell("train", other, "--cache", extracted["cache"])
    assert outcome.code == 2
    assert "does not fit" in outcome.err


def test_bench_recommend_prints_its_figures(shell: Callable[..., Any]) -> None:
    outcome = shell("bench", "recommend", "--items", "300", "--users", "20", "-k", "3", "--repeats", "3")
    assert json.loads(outcome.out)["size"]["items"] == 300


def test_a_study_ends_in_one_table_and_one_chart(
    shell: Callable[..., Any], imported: Path, extracted: dict[str, Any], workspace: Path, tmp_path: Path
) -> None:
    command = ("study", "layers", imported, *FAST, "--set", "training.epochs=1", "--seeds", 1)
    first = shell(*command, "--json", "--html", tmp_path / "chart.html")
    assert first.code == 0, first.err
    rows = json.loads(first.out)
    assert [row["row"] for row in rows] == ["all", "even", "last 2", "last 1"]
    page = (tmp_path / "chart.html").read_text(encoding="utf-8")
    assert "plotly" in page and "<td>last 2</td>" in page
    assert "seed 0 alone; leave-one-out: last of" in page and "and the table lie in" in first.err
    assert (workspace / "runs" / "layers-small" / "table.csv").is_file()
    again = shell(*command, "--json")
    assert json.loads(again.out) == rows
    cached = shell("study", "layers", imported, "--uncached-epochs", 1)
    assert (cached.code, "--uncached-epochs is of the study asymmetric; layers trains" in cached.err) == (2, True)
    unknown = shell("study", "nonsense", imported)
    assert (unknown.code, "no study 'nonsense'; there are ablation" in unknown.err) == (2, True)
    alone = shell("study", "scaling", imported)
    assert (alone.code, "nothing to compare; extract with another backbone" in alone.err) == (2, True)


def test_a_search_ends_in_a_preset_that_is_offered_like_ours(
    shell: Callable[..., Any], imported: Path, extracted: dict[str, Any], workspace: Path, tmp_path: Path
) -> None:
    pytest.importorskip("optuna")
    space = tmp_path / "space.yaml"
    space.write_text("training.learning_rate: {low: 0.001, high: 0.1, log: true}\nmodel.blocks: [1, 2]\n")
    command = ("study", "search", imported, *FAST, "--set", "training.epochs=1", "--space", space, "--trials", 3)
    done = shell(*command, "--seeds", 1, "--save-as", "found", "--json", "--html", tmp_path / "chart.html")
    assert done.code == 0, done.err
    rows = {row["row"]: row["valid_HR@10"] for row in json.loads(done.out)}
    assert next(iter(rows)) == "starting point"
    page = (tmp_path / "chart.html").read_text(encoding="utf-8")
    assert "best so far" in page and "Trials, by validation" in page
    assert (workspace / "runs" / "search-small" / "trials.csv").is_file()
    if max(rows, key=lambda row: rows[row]) == "starting point":
        assert "there is no new preset" in done.err
        return
    assert "is the preset found" in done.err
    preset = load_preset("found")
    assert preset.modalities == ["text"] and "1 seeds: test HR@10" in preset.measured
    trained = shell("train", imported, "--preset", "found", "--run", workspace / "runs" / "again")
    assert trained.code == 0, trained.err
    again = shell(*command, "--seeds", 1, "--save-as", "found", "--json")
    assert json.loads(again.out) == json.loads(done.out)


def test_options_of_the_search_are_refused_elsewhere_and_names_before_it(
    shell: Callable[..., Any], imported: Path, extracted: dict[str, Any], workspace: Path
) -> None:
    other = shell("study", "layers", imported, "--trials", 3, "--save-as", "x")
    assert (other.code, "--trials and --save-as of the study search; layers has" in other.err) == (2, True)
    ours = shell("study", "search", imported, "--save-as", "default")
    assert (ours.code, "default is one of the presets that come with the program" in ours.err) == (2, True)
    odd = shell("study", "search", imported, "--save-as", "../x")
    assert (odd.code, "'../x' cannot name a preset" in odd.err) == (2, True)
    space = shell("study", "search", imported, "--space", "nowhere")
    assert (space.code, "no space 'nowhere'; name rates" in space.err) == (2, True)
    assert not (workspace / "runs").exists()
