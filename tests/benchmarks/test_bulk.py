"""The benchmark of recommendations for everybody, on work of a few kilobytes."""

import json

import pytest

from app.bench.random_work import Size
from iisan_core import Recommender
from iisan_core.config.schema import ModelConfig
from tests.benchmarks import bulk


@pytest.mark.parametrize("options", [[], ["--all-parts", "--embedding", "8"]])
def test_a_million_users_are_asked_for_by_default_and_fewer_on_request(options, capsys):
    bulk.main(["--users", "40", "--items", "300", "-k", "7", *options])
    found = json.loads(capsys.readouterr().out)
    assert (found["users"], found["items"], found["rows"]) == (40, 300, 40 * 7)
    assert found["vector_width"] == (8 + 2 * 192 if options else 64)
    assert found["seconds"] > 0 and found["peak_memory_bytes"] > 2**20


def test_the_random_run_has_all_parts(tmp_path):
    model = ModelConfig(embedding=8, frozen=True, together=True)
    recommender = Recommender.load(bulk.random_run(tmp_path, Size(items=300, users=40), model))
    assert recommender._reader.together is not None
    assert set(recommender._model.frozen_columns) == {"image", "text"}
    assert len(recommender.recommend(users=["7"], k=5)[0]) == 5
