"""Runs whose states lie in different places come to the same outcome, bit for bit, and say where they lay."""

import pytest
import torch

from iisan_core.errors import RefusedError
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import train
from iisan_core.training import inputs
from iisan_core.training import states as elsewhere

pytestmark = pytest.mark.usefixtures("one_thread")

OUTCOME = ("best/model.safetensors", "checkpoint/state.safetensors", "items.safetensors", "parts.safetensors")


def trained(world, path, **training):
    for _ in train(world.config(model={"standardize": True}, training=training), path):
        pass
    return RunFolder.open(path)


def in_memory_of_a_gpu_machine(cache, rows, *, device, where):
    """What `put` makes for a GPU where the states go to RAM; the device is the CPU here."""
    return elsewhere.HostStates(device, elsewhere._whole(cache, rows, device=torch.device("cpu")))


@pytest.mark.parametrize("where", ["memory", "mapped"])
def test_the_outcome_does_not_depend_on_the_place(world, tmp_path, monkeypatch, where):
    whole = trained(world, tmp_path / "whole", states="device")
    if where == "memory":
        monkeypatch.setattr(inputs, "put", in_memory_of_a_gpu_machine)
    other = trained(world, tmp_path / "other", states=where)
    assert all((whole.path / name).read_bytes() == (other.path / name).read_bytes() for name in OUTCOME)
    assert other.results()["quality"] == whole.results()["quality"]
    facts = other.results()["efficiency"]
    assert facts["states_in"] == where
    assert facts["states_bytes"] == whole.results()["efficiency"]["states_bytes"] > 0
    said = {"memory": "in RAM: asked for", "mapped": "read from the cache, ahead of each step: asked for"}
    assert said[where] in other.log.read_text().splitlines()[0]


def test_a_place_without_room_is_refused_before_the_folder_exists(world, tmp_path, monkeypatch):
    monkeypatch.setattr("iisan_core.training.states.free_ram", lambda: 1000)
    with pytest.raises(RefusedError, match=r"training\.states is memory, but the states take"):
        trained(world, tmp_path / "run", states="memory")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_three_places_of_a_gpu_give_the_same_outcome(world, tmp_path):
    runs = [trained(world, tmp_path / where, states=where, device="cuda") for where in ("device", "memory", "mapped")]
    assert [run.results()["efficiency"]["states_in"] for run in runs] == ["device", "memory", "mapped"]
    assert len({run.item_vectors.read_bytes() for run in runs}) == 1
