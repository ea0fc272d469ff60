"""Training by several processes: the loss, gradients and end of one, whoever is lost on the way."""

from __future__ import annotations

import json

import pytest
import torch

from iisan_core.computing.processes import ProcessGroup
from iisan_core.config.schema import ModelConfig, TrainingConfig
from iisan_core.errors import RefusedError
from iisan_core.model.recommender import ModelShape, RecommenderModel
from iisan_core.training.step import Stepper
from tests.iisan_core.cache.test_processes import torchrun
from tests.iisan_core.training import shared_work

CASES = [
    ({}, {}),
    ({"user_weight": "user", "clip_norm": 0.5}, {"frozen": True}),
    ({"loss": "sampled", "negatives": 20}, {"ids": True}),
    ({"loss": "gbce", "negatives": 7}, {}),
    ({"loss": "full", "ema": 0.9}, {"inter": False}),
]


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_compute_what_one_does(count):
    """Loss and gradients of a step to rounding, and with them the epochs, weights and ranks that come of them."""
    done = torchrun(["--nproc-per-node", str(count), "-m", shared_work.__name__, json.dumps(CASES)])
    assert done.returncode == 0, done.stderr
    together = json.loads(done.stdout.splitlines()[-1])
    assert together["alike"], "all processes end with the same weights"
    for (training, model), found in zip(CASES, together["found"], strict=True):
        wanted = shared_work.compute(training, model, ProcessGroup())
        assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
        assert found["gradients"].keys() == wanted["gradients"].keys()
        for name, gradient in wanted["gradients"].items():
            assert found["gradients"][name] == pytest.approx(gradient, rel=1e-4, abs=1e-6), name
        assert found["losses"] == pytest.approx(wanted["losses"], rel=1e-4)
        assert found["weights"] == pytest.approx(wanted["weights"], rel=1e-2, abs=1e-3)
        same = sum(a == b for a, b in zip(found["ranks"], wanted["ranks"], strict=True))
        assert same > 0.9 * len(wanted["ranks"])


def test_pieces_of_a_batch_are_shared_out_by_processes_alone():
    shape = ModelShape(widths={"text": (4,)}, max_history=3, config=ModelConfig(bottleneck=2, embedding=4, heads=1))
    with pytest.raises(RefusedError, match="micro_batch is 4 and 2 processes train together"):
        Stepper(
            RecommenderModel(shape), None, None, TrainingConfig(micro_batch=4), processes=ProcessGroup(0, 2, object())
        )


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_parts_are_all_rows_once(count):
    for size in range(12):
        rows = torch.arange(size)
        parts = [rows[ProcessGroup(rank, count).part(size)] for rank in range(count)]
        assert torch.equal(torch.cat(parts), rows)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
