"""The stages of a job that has several, for whoever watches its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.jobs.stages import FILE, Stages, stages_of
from iisan_core.runs.job_folder import JobFolder
from iisan_core.runs.worker import doing


def test_stages_are_written_as_they_go(tmp_path: Path) -> None:
    with doing(JobFolder(tmp_path)):
        stages = Stages("first", "second", "third")
        with stages.at("first") as came:
            assert [bool(stage.began) for stage in stages_of(tmp_path)] == [True, False, False]
            came("12 things")
        with pytest.raises(KeyboardInterrupt), stages.at("second"):
            raise KeyboardInterrupt
    first, second, third = stages_of(tmp_path)
    assert (first.result, first.ended >= first.began > 0) == ("12 things", True)
    assert second.began and not second.ended
    assert (third.began, third.seconds) == (0.0, 0.0)
    assert list(stages.seconds) == ["first"]


def test_work_that_is_no_job_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stages = Stages("only")
    with stages.at("only"):
        pass
    assert list(tmp_path.iterdir()) == [] and list(stages.seconds) == ["only"]


@pytest.mark.parametrize("text", ["{", "3", '[{"name": 5}]'])
def test_stages_that_cannot_be_read_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert stages_of(tmp_path) == []
