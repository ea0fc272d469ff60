import pytest
import torch

from iisan_core.errors import RefusedError
from iisan_core.model.inputs import arithmetic
from iisan_core.training.device import choose_device, describe, peak_memory, reset_peak_memory

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
