"""One job per device, first come, first served, whoever is killed meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from app.jobs.devices import device_key
from app.jobs.queue import DeviceQueue, held_devices, turn
from iisan_core.errors import RefusedError

from .conftest import SLEEP, state_is, until


def test_jobs_take_turns_in_the_order_in_which_they_came(job, work):
    folders = [job(name) for name in "abc"]
    processes = []
    for folder in folders:
        processes.append(work(folder, SLEEP, device="cpu"))
        until(lambda: len(DeviceQueue("cpu").waiting()) == len(processes))
    until(state_is(folders[1], "queued"))
    until(state_is(folders[2], "queued"))
    assert folders[1].status().message == f"waits for cpu, behind a (process {processes[0].pid})"
    assert folders[2].status().message.count("process") == 2

    processes[0].kill()
    until(state_is(folders[1], "starting"))
    assert folders[2].status().state == "queued"

    folders[1].ask_to_stop()
    until(state_is(folders[2], "starting"))
    assert folders[1].status().state == "stopped"


def test_a_queued_job_can_be_stopped_or_killed_without_harm_to_the_others(job, work):
    first, second, third = job("first"), job("second"), job("third")
    holder = work(first, SLEEP, device="cpu")
    until(state_is(first, "starting"))
    until(lambda: len(DeviceQueue("cpu").waiting()) == 1)
    stopped, killed = work(second, SLEEP, device="cpu"), work(third, SLEEP, device="cpu")
    until(state_is(second, "queued"))
    until(state_is(third, "queued"))
    second.ask_to_stop()
    killed.kill()
    stopped.wait(timeout=20)
    until(state_is(third, "interrupted"))
    assert second.status().state == "stopped"
    assert [line.split()[0] for line in DeviceQueue("cpu").waiting()] == ["first"]
    assert holder.poll() is None


def test_whoever_must_not_wait_is_refused(workspace):
    with turn("cpu", who="me"):
        os.environ.pop("IISAN_HELD_DEVICES")  # as another process sees it
        with (
            pytest.raises(RefusedError, match=r"device cpu is taken by me \(process \d+\); wait for it, or stop it"),
            turn("cpu", who="you", wait=False),
        ):
            pass
        assert len(DeviceQueue("cpu").waiting()) == 1
    assert DeviceQueue("cpu").waiting() == []


def test_what_a_job_starts_uses_the_jobs_device(workspace):
    program = "from app.jobs.queue import turn\nwith turn('cpu', who='child', wait=False): print('in')"
    with turn("cpu", who="parent"):
        assert held_devices() == {"cpu"}
        output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output == "in\n"
    assert held_devices() == set()


def test_devices_and_workspaces_do_not_wait_for_each_other(workspace, monkeypatch, tmp_path):
    with turn("cpu", who="one"), turn("cuda:0", who="one"):
        os.environ.pop("IISAN_HELD_DEVICES")
        with turn("cuda:1", who="two", wait=False):
            pass
        monkeypatch.setenv("IISAN_WORKSPACE", str(tmp_path / "elsewhere"))
        with turn("cpu", who="two", wait=False):
            pass
        with pytest.raises(RefusedError), turn("cuda:0", who="two", wait=False):
            pass


@pytest.mark.parametrize(
    ("choice", "visible", "rank", "key"),
    [
        ("cpu", None, None, "cpu"),
        ("auto", None, None, "cuda:0"),
        ("cuda", None, None, "cuda:0"),
        ("cuda:1", None, None, "cuda:1"),
        ("cuda", "1", None, "cuda:1"),
        ("cuda", "GPU-4f,0", None, "cuda:GPU-4f"),
        ("cuda", None, "1", "cuda:1"),
        ("auto", "", None, "cpu"),
    ],
)
def test_a_gpu_has_one_name_for_all_processes(monkeypatch, choice, visible, rank, key):
    monkeypatch.setattr("pynvml.nvmlInit", lambda: None)
    monkeypatch.setattr("pynvml.nvmlShutdown", lambda: None)
    monkeypatch.setattr("pynvml.nvmlDeviceGetCount", lambda: 2)
    for name, value in (("CUDA_VISIBLE_DEVICES", visible), ("LOCAL_RANK", rank)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert device_key(choice) == key
