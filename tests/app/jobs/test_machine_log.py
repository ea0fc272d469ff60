"""What a job takes of the machine is noted while it goes on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from app.charts.machine import load_chart, memory_chart
from app.jobs import machine_log
from app.jobs.devices import Gpu
from app.jobs.machine_log import recorded, samples
from iisan_core.runs.job_folder import JobFolder


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Samples without a pause; set once there are three."""
    monkeypatch.setattr(machine_log, "AT_FIRST", 0.01)
    seen, real, count = threading.Event(), machine_log._Meter.sample, iter(range(10**6))

    def sample(meter: machine_log._Meter) -> dict[str, object]:
        found = real(meter)
        if next(count) >= 3:
            seen.set()
        return found

    monkeypatch.setattr(machine_log._Meter, "sample", sample)
    return seen


def test_samples_while_the_work_goes_on(tmp_path: Path, often: threading.Event) -> None:
    with recorded(JobFolder(tmp_path)):
        assert often.wait(60)
    found = samples(JobFolder(tmp_path))
    assert len(found) >= 3
    assert all(sample["memory_bytes"] > 10**7 and sample["load"] >= 0 for sample in found)
    assert [sample["at"] for sample in found] == sorted(sample["at"] for sample in found)
    assert "machine log" not in {thread.name for thread in threading.enumerate()}


def test_a_gpu_is_noted_where_there_is_one(
    tmp_path: Path, often: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Gpu(index=0, name="a card", total_bytes=9, used_bytes=5, load_percent=40)
    monkeypatch.setattr(machine_log, "gpus", lambda: [card, card])
    with recorded(JobFolder(tmp_path)):
        assert often.wait(60)
    first = samples(JobFolder(tmp_path))[0]
    assert (first["gpu_load"], first["gpu_bytes"]) == (40, 10)


def test_a_folder_that_cannot_be_written_stops_no_work(tmp_path: Path, often: threading.Event) -> None:
    with recorded(JobFolder(tmp_path / "gone")):
        assert often.wait(60)
    assert samples(JobFolder(tmp_path / "gone")) == []


def test_lines_that_are_not_whole_are_left_out(tmp_path: Path) -> None:
    (tmp_path / machine_log.FILE).write_text('{"at": 1, "load": 5}\n[]\n{"load": 1}\n{"at": 2')
    assert samples(JobFolder(tmp_path)) == [{"at": 1, "load": 5}]


def test_the_charts_have_a_line_for_what_is_known() -> None:
    found = [{"at": 100.0 + 60 * n, "load": 10.0 * n, "machine_load": 5.0, "memory_bytes": 2e9} for n in range(10)]
    memory, load = memory_chart(found), load_chart(found, theme="dark")
    assert [list(trace.y)[:1] for trace in memory.data] == [[2.0]]
    assert [trace.name for trace in load.data] == ["the job, of one core", "the machine"]
    assert list(load.data[0].x)[-1] == 9.0 and load.layout.xaxis.title.text.startswith("minutes")
    with_gpu = load_chart([sample | {"gpu_load": 50} for sample in found])
    assert with_gpu.data[-1].name == "GPU"
    assert not memory_chart([]).data
