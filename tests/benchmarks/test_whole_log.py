"""The benchmark of a whole log runs, and its log is as large as asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from iisan_core.data.dataset import Dataset
from tests.benchmarks.whole_log import Log, one_epoch, write_log

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_small_log_trains_whole(tmp_path: Path) -> None:
    data = write_log(tmp_path / "data", Log(users=600, items=80, interactions=6000))
    log = Dataset.load(data).interactions
    assert log.height == pytest.approx(6000, rel=0.1)
    found = one_epoch(data, batch_size=64)
    assert found["training_users"] == 600
    assert found["training_interactions"] == log.height - 2 * found["users"]
    assert found["validated_users"] == found["users"]
    assert found["whole_s"] >= found["epoch_s"] > 0
