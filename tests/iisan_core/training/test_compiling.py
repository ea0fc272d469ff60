"""Compiled steps: the same losses and gradients, and an evaluation that is none of their business."""

import copy
import os
import shutil

import numpy as np
import pytest
import torch

from iisan_core.errors import RefusedError
from iisan_core.finetuning.train import open_setup
from iisan_core.model.inference import item_table
from iisan_core.model.recommender import RecommenderModel
from iisan_core.runs.train import train
from iisan_core.training.batches import make_batch
from iisan_core.training.device import COMPILER
from iisan_core.training.inputs import RunInputs
from iisan_core.training.step import Stepper

COMPILER_HERE = shutil.which(os.environ.get("CXX", COMPILER))


@pytest.fixture
def inputs(world):
    return RunInputs.open(world.config())


@pytest.mark.long
@pytest.mark.skipif(COMPILER_HERE is None, reason="no C++ compiler here: neither $CXX nor g++ is on the path")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's of itself, while it compiles
def test_a_compiled_step_is_the_same_step(world, inputs):
    bank = inputs.states()
    plain = RecommenderModel(inputs.shape(world.config(), bank))
    plain.users.eval()  # no dropout; the item encoder trains
    models = {False: plain, True: copy.deepcopy(plain)}
    tables = {of: item_table(model, bank, precision="float32") for of, model in models.items()}
    steppers = {
        compiled: Stepper(model, bank, inputs.split, world.config(training={"compile": compiled}).training)
        for compiled, model in models.items()
    }
    for rows in (range(16), range(16, 27), range(40, 80)):  # every batch has another number of items
        batch = make_batch(inputs.split.windows.take(np.array(rows)))
        found = {}
        for compiled, model in models.items():
            loss = steppers[compiled].loss(batch)
            found[compiled] = loss, torch.autograd.grad(loss, model.parameters(), materialize_grads=True)
        torch.testing.assert_close(found[True], found[False], rtol=1e-3, atol=1e-4)
    for of, model in models.items():
        assert torch.equal(item_table(model, bank, precision="float32"), tables[of]), "not compiled, digit for digit"


def test_without_a_compiler_it_is_refused_before_there_is_a_run(world, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RefusedError, match=r"a C\+\+ compiler, and there is no no-such-compiler here"):
        list(train(world.config(training={"compile": True}), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["uncached", "lora", "full"])
def test_methods_that_run_backbones_are_not_compiled(world, method):
    with pytest.raises(RefusedError, match=f"for cached states, and {method} runs its backbones"):
        open_setup(world.config(training={"compile": True}), method)
