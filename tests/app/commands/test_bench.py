"""`iisan bench`: its tables, files and refusals; what is measured is tested beside the measuring."""

import json

import pytest

from app.bench import methods as bench_methods
from app.bench.methods import measure

TINY = (
    "--items", 60, "--users", 24, "--batch-size", 4, "--steps", 1, "--device", "cpu",
    "--text-layers", 2, "--text-width", 32, "--image-layers", 2, "--image-width", 32, "--image-size", 32,
)  # fmt: skip


@pytest.fixture
def here(monkeypatch):
    """Measure in this process: what a process of its own adds is tested elsewhere."""
    monkeypatch.setattr(bench_methods, "_in_own_process", measure)


def test_methods_name_their_set_and_that_epochs_are_extrapolated(shell, here, tmp_path):
    page = tmp_path / "methods.html"
    outcome = shell("bench", "methods", "--method", "cached", "--method", "bitfit", *TINY, "--html", page, "--json")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert sorted(found["set"]) == ["bitfit", "cached"]
    assert "extrapolated from 1 steps of 6" in found["note"]
    assert {row["method"] for row in found["methods"]} == {"bitfit", "cached"}
    assert "plotly" in page.read_text(encoding="utf-8")


def test_methods_as_a_table(shell, here):
    outcome = shell("bench", "methods", "--method", "cached", "--method", "lora", *TINY)
    assert outcome.code == 0, outcome.err
    assert "tpme" in outcome.out and "lora" in outcome.out
    assert "TPME over the set" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--train"], "random work has nothing to learn"),
        (["--set", "training.epochs=1"], "random work has nothing to learn"),
        (["--config", "run.yaml", "--batch-size", "8", "--items", "9"], "--batch-size, --items: of random work only"),
        (["--method", "prompt"], "no methods prompt; choose of cached"),
    ],
)
def test_what_cannot_be_compared_is_refused(shell, arguments, said):
    outcome = shell("bench", "methods", *arguments)
    assert outcome.code == 2
    assert said in outcome.err


@pytest.mark.parametrize("verb", ["step", "epoch"])
def test_verbs_print_json_with_device_and_versions(shell, verb):
    outcome = shell(
        "bench", verb, "--items", 50, "--users", 16, "--batch-size", 8, "--layers", 2, "--text-width", 16,
        "--image-width", 16, "--device", "cpu", "--repeats", 1,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert found["bench"] == verb
    assert {"median_s", "min_s", "max_s", "device", "torch", "python"} <= set(found)
