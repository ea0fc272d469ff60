import pytest
import torch

from iisan_core.config.schema import TrainingConfig
from iisan_core.errors import RefusedError
from iisan_core.model.inputs import arithmetic
from iisan_core.training import device
from iisan_core.training.device import choose_device, describe, peak_memory, precision_of, reset_peak_memory

CPU = torch.device("cpu")


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RefusedError, match="torch sees no CUDA GPU here; choose cpu or auto"):
        choose_device("cuda")


def test_auto_takes_what_there_is():
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_products_run_in_the_precision_asked_for(precision, dtype):
    a = torch.ones(2, 2)
    with arithmetic(CPU, precision):
        assert (a @ a).dtype == dtype
    assert (a @ a).dtype == torch.float32


def test_reports_of_the_cpu():
    reset_peak_memory(CPU)
    assert describe(CPU) == f"cpu, {torch.get_num_threads()} threads"
    assert 10e6 < peak_memory(CPU) < 1e12, "bytes of a process with torch in it"


def test_the_peak_is_that_of_the_work_since_reset():
    """What was needed before and is no longer does not count: a small run after a large one reports itself."""
    reset_peak_memory(CPU)
    small = peak_memory(CPU)
    torch.zeros(2**26)  # 256 MiB, gone at once
    assert peak_memory(CPU) > small + 0.9 * 2**28
    reset_peak_memory(CPU)
    assert peak_memory(CPU) < 1.05 * small


def test_where_the_system_does_not_say_the_peak_is_the_process_own(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "STATUS", tmp_path / "none")
    monkeypatch.setattr(device, "CLEAR_REFS", tmp_path / "none" / "none")
    reset_peak_memory(CPU)
    assert 10e6 < peak_memory(CPU) < 1e12
    assert device.resident_memory() == 0


@pytest.mark.parametrize(
    ("asked", "has_bfloat16", "widest", "found"),
    [
        ("auto", True, 768, "bfloat16"),
        ("auto", True, 64, "float32"),
        ("auto", True, 0, "float32"),
        ("auto", False, 768, "float32"),
        ("float32", True, 768, "float32"),
        ("bfloat16", False, 8, "bfloat16"),
    ],
)
def test_the_precision_suits_device_and_states(monkeypatch, asked, has_bfloat16, widest, found):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_bfloat16})
    assert precision_of(TrainingConfig(precision=asked), device=CPU, widest=widest) == found
