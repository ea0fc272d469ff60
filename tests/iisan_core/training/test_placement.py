"""Where the states of a run lie: the quickest place that has room, or the one that was asked for."""

import psutil
import pytest
import torch

from iisan_core.errors import RefusedError
from iisan_core.training import states as placement
from iisan_core.training.states import SHARE, free_ram, place_states

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
GB = 10**9


@pytest.fixture
def machine(monkeypatch):
    """A GPU with 10 GB free in a machine with 100 GB free."""
    monkeypatch.setattr(placement, "free_ram", lambda: 100 * GB)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10 * GB, 80 * GB))


@pytest.mark.parametrize(
    ("device", "gigabytes", "where"),
    [
        (CUDA, 10 * SHARE, "device"),
        (CUDA, 10 * SHARE + 0.1, "memory"),
        (CUDA, 100 * SHARE + 0.1, "mapped"),
        (CPU, 100 * SHARE, "memory"),
        (CPU, 100 * SHARE + 0.1, "mapped"),
    ],
)
def test_auto_takes_the_first_place_with_room(machine, device, gigabytes, where):
    nbytes = int(gigabytes * GB)
    found = place_states(nbytes, device)
    assert (found.where, found.nbytes) == (where, nbytes)
    assert f"{int(100 * GB * SHARE):,} bytes of RAM may be taken" in str(found)
    assert ("GPU memory" in str(found)) == (device == CUDA)


@pytest.mark.parametrize("choice", ["device", "memory", "mapped"])
def test_what_is_asked_for_is_taken(machine, choice):
    assert place_states(GB, CUDA, choice).where == choice
    assert place_states(GB, CPU, choice).where == ("memory" if choice == "device" else choice)
    assert str(place_states(GB, CUDA, choice)).endswith(": asked for")


def test_a_choice_without_room_is_refused(machine):
    with pytest.raises(RefusedError, match=r"states is device, but .* 7,000,000,000 bytes of GPU memory may be taken"):
        place_states(8 * GB, CUDA, "device")
    with pytest.raises(RefusedError, match="of RAM may be taken; choose auto, or keep fewer layers"):
        place_states(80 * GB, CPU, "memory")
    assert place_states(80 * GB, CPU, "mapped").where == "mapped"


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_has_less_than_its_machine(tmp_path, monkeypatch, version):
    limit, used, of_files = list(placement.CGROUPS.values())[2 - version]
    monkeypatch.setattr(placement, "CGROUPS", {tmp_path: (limit, used, of_files)})
    assert free_ram() == pytest.approx(psutil.virtual_memory().available, rel=0.2), "no container at all"
    (tmp_path / limit).write_text("1000\n")
    (tmp_path / used).write_text("900\n")
    (tmp_path / "memory.stat").write_text(f"anon 500\n{of_files} 300\n")
    assert free_ram() == 1000 - (900 - 300)
    (tmp_path / limit).write_text("max\n")
    assert free_ram() > 1000
