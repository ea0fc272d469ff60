"""Out of memory is named, and the batch size that fits is found by trying."""

from __future__ import annotations

import pytest
import torch

from iisan_core.errors import IisanError
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import resume, train
from iisan_core.training.out_of_memory import batch_that_fits, in_words, is_out_of_memory
from iisan_core.training.step import Stepper


def test_the_first_half_that_fits():
    tried = []

    def fits(size):
        tried.append(size)
        return size <= 20

    assert batch_that_fits(100, fits) == 12
    assert tried == [100, 50, 25, 12]
    assert batch_that_fits(1, lambda size: False) is None
    assert batch_that_fits(7, lambda size: True) == 7


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("shapes do not fit"), False),
        (ValueError("memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, is_one):
    assert is_out_of_memory(error) == is_one


def test_torch_says_it_in_these_words():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.float64)
    assert is_out_of_memory(caught.value) or "overflow" in str(caught.value)
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


class Small:
    """A device on which a step of more than so many users does not fit."""

    def __init__(self, monkeypatch, users):
        step = Stepper.step
        self.sizes = []

        def limited(stepper, batch, gathered=None):
            self.sizes.append(len(batch.slots))
            if len(batch.slots) > users:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            return step(stepper, batch, gathered)

        monkeypatch.setattr(Stepper, "step", limited)


def test_a_run_out_of_memory_says_which_batch_fits(world, tmp_path, monkeypatch):
    device = Small(monkeypatch, 9)
    with pytest.raises(IisanError, match=r"out of memory on cpu at training.batch_size=32; 8 fits"):
        list(train(world.config(training={"batch_size": 32}), tmp_path / "run"))
    status = RunFolder(tmp_path / "run").status()
    assert status.state == "failed"
    assert status.message == "out of memory on cpu at training.batch_size=32; 8 fits (tried): set it and start anew"
    assert device.sizes == [32, 32, 16, 8, 8]  # the step that broke, then the trials: two steps where they fit


def test_trials_leave_no_trace_in_a_later_resume(world, finished, tmp_path, monkeypatch):
    with monkeypatch.context() as small, pytest.raises(IisanError, match=r"not even training.batch_size=2 fits"):
        Small(small, 0)
        list(train(world.config(), tmp_path / "run"))
    run = RunFolder(tmp_path / "run")
    list(resume(run))
    for name in ("best/model.safetensors", "items.safetensors"):
        assert (run.path / name).read_bytes() == (finished.path / name).read_bytes()


def test_ranking_that_does_not_fit_is_told_apart(world, tmp_path, monkeypatch):
    def full(*given, **named):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("iisan_core.training.fit.ranks_of", full)
    with pytest.raises(IisanError, match=r"not in the training steps .* but in ranking all items"):
        list(train(world.config(), tmp_path / "run"))


def test_other_errors_pass_as_they_are(world, tmp_path, monkeypatch):
    def broken(*given):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Stepper, "step", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        list(train(world.config(), tmp_path / "run"))


def test_words():
    assert in_words("cuda:0", 64, 32).startswith("out of memory on cuda:0 at training.batch_size=64; 32 fits")
