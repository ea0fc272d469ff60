"""The benchmark of an index, on a few thousand vectors."""

import json

import pytest

from tests.benchmarks import index


@pytest.mark.parametrize("options", [["--kind", "ivf"], ["--kind", "hnsw", "--clusters", "30"], []])
def test_figures_of_a_small_catalogue(options, capsys):
    index.main(["--items", "3000", "--width", "8", "--queries", "40", *options])
    found = json.loads(capsys.readouterr().out)
    assert (found["items"], found["width"]) == (3000, 8)
    assert found["kind"] == (options[1] if options else "flat")
    assert found["recall_of_answers"] >= 0.9
    assert 0 < found["answer_p50_ms"] <= found["answer_p95_ms"] and found["exact_p95_processor_ms"] > 0
