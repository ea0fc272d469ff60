"""A run is trained once."""

import pytest

from iisan_core.errors import RefusedError
from iisan_core.runs.train import ensure_trained, train_or_resume

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_run_is_trained_where_it_is_not_and_found_where_it_is(world, tmp_path):
    config = world.config(training={"epochs": 1})
    run = ensure_trained(config, tmp_path / "run")
    written = (run.path / "results.json").stat().st_mtime_ns
    assert run.status().state == "finished"
    assert list(train_or_resume(config, tmp_path / "run")) == []
    assert (ensure_trained(config, tmp_path / "run").path / "results.json").stat().st_mtime_ns == written


def test_another_configurations_run_is_not_taken_for_it(world, tmp_path):
    ensure_trained(world.config(training={"epochs": 1}), tmp_path / "run")
    said = r"another configuration than is asked for now \(training.epochs is 1 there, 2 now\); remove that folder"
    with pytest.raises(RefusedError, match=said):
        ensure_trained(world.config(training={"epochs": 2}), tmp_path / "run")
