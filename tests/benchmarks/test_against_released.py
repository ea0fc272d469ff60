"""The comparison itself, on work that is too small to say anything about speed."""

import json

import pytest
import torch

from tests.benchmarks.against_released import FORMS, as_text, main
from tests.benchmarks.forms import COMPILED, _held
from tests.benchmarks.released_figures import RANKING, STEPS

SMALL = ["--users", "40", "--items", "60", "--batch-size", "4", "--repeats", "1", "--fresh-memory", "--eager"]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_every_work_is_done_by_both_forms(capsys):
    main([*SMALL, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [work["work"] for work in found["works"]] == ["training step, batch 4", "ranking"]
    for work, precisions in zip(found["works"], ([f for f in FORMS if f != COMPILED], ["float32"]), strict=True):
        assert list(work["ours"]) == list(work["ratio"]) == precisions
        assert work["released_s"] is None, "the released programs did other work"
        slow, ours = work["slow_form"]["median_s"], work["ours"]["float32"]["median_s"]
        assert work["ratio"]["float32"] == pytest.approx(slow / ours)


@pytest.mark.parametrize(
    ("figure", "seconds", "place"),
    [
        (STEPS[64], 0.75 * 0.34, "inside"),
        (STEPS[64], 0.74 * 0.34, "below"),
        (STEPS[512], 1.24 * 9.0, "inside"),
        (STEPS[512], 18.5, "above"),
        (RANKING, 1.24 * 20, "inside"),
    ],
)
def test_the_slow_form_is_held_against_the_released_figures(figure, seconds, place):
    held = _held({"median_s": seconds}, {"float32": {"median_s": seconds / 12}}, figure)
    assert held["place"] == place
    assert held["ratio"] == {"float32": pytest.approx(12)}
    found = {
        "works": [{"work": "some work", **held}],
        "matrix_operations_per_s": {"float32": 190e9, "bfloat16": 800e9},
        "new_memory_bytes_per_s": 15e9,
        "memory_is_kept": True,
    }
    row = as_text(found).splitlines()[1]
    assert f" {place} " in row
    assert row.endswith("12.0")
    assert "190 GFLOP/s" in as_text(found)
