"""Every public name has a docstring with its arguments and an example; the examples are run here."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import iisan_core
from iisan_core import RecommenderModel
from iisan_core.config.schema import ModelConfig, ProtocolConfig, TrainingConfig
from iisan_core.training.inputs import RunInputs

pytestmark = pytest.mark.usefixtures("one_thread")

PUBLIC = [name for name in iisan_core.__all__ if not name.endswith("Error")]


@pytest.fixture
def names(world, finished, bert, bert_folder, tmp_path: Path) -> dict[str, Any]:
    """What an example may use without saying where it came from."""
    config = world.config(training={"epochs": 1, "device": "cpu"})
    inputs = RunInputs.open(config)
    states = inputs.states()
    torch.manual_seed(0)
    return {name: getattr(iisan_core, name) for name in iisan_core.__all__} | {
        "ModelConfig": ModelConfig,
        "ProtocolConfig": ProtocolConfig,
        "TrainingConfig": TrainingConfig,
        "backbone": bert,
        "backbone_folder": bert_folder,
        "config": config,
        "dataset": world.dataset,
        "cache_folder": world.caches["text"],
        "caches": world.caches,
        "folder": tmp_path,
        "np": np,
        "pl": pl,
        "model": RecommenderModel(inputs.shape(config, states)),
        "run": finished,
        "kept": inputs.split,
        "states": states,
        "workspace": iisan_core.Workspace(tmp_path),
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_do_what_they_say(name: str, names: dict[str, Any]) -> None:
    found = getattr(iisan_core, name)
    example = doctest.DocTestParser().get_doctest(inspect.getdoc(found) or "", names, name, None, None)
    assert example.examples, f"{name} has no example"
    failures: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=failures.append)
    assert runner.failures == 0, "".join(failures)


@pytest.mark.parametrize("name", [name for name in PUBLIC if inspect.isfunction(getattr(iisan_core, name))])
def test_functions_name_their_arguments_and_errors(name: str) -> None:
    function = getattr(iisan_core, name)
    says = inspect.getdoc(function) or ""
    arguments = inspect.signature(function).parameters
    assert "Args:" in says and all(f"{argument}:" in says for argument in arguments)
    assert "Raises:" in says
