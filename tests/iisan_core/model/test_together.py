"""What is counted, added to scores in its sparse form against the dense one; and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy import sparse
from torch.testing import assert_close

from iisan_core.errors import RefusedError
from iisan_core.model.together import Added, Together, load_together, save_together

N = 9
CPU = torch.device("cpu")


def made(**changes: float) -> Together:
    rng = np.random.default_rng(0)
    dense = (rng.random((N + 1, N + 1)) * (rng.random((N + 1, N + 1)) < 0.4)).astype(np.float32)
    dense[0] = dense[:, 0] = 0
    return Together(sparse.csr_array(dense), **{"recency": 0.5, "newest": 3, "weight": 2.0} | changes)  # type: ignore[arg-type]


HISTORIES = torch.tensor([[0, 0, 4, 1], [9, 2, 3, 3], [0, 0, 0, 5], [0, 0, 0, 12]])


def expected(together: Together) -> torch.Tensor:
    similar, found = together.similar.toarray(), torch.zeros(len(HISTORIES), N + 1)
    for user, history in enumerate(HISTORIES.tolist()):
        for age, item in enumerate(reversed(history[-together.newest :])):
            if 0 < item <= N:  # 12 has come after the counting
                found[user] += together.weight * together.recency**age * torch.from_numpy(similar[item])
    return found


def test_scores_are_the_weighted_sum_of_the_newest_items_rows() -> None:
    assert_close(torch.from_numpy(made().scores(HISTORIES.numpy()).toarray()), expected(made()))
    assert_close(torch.from_numpy(made().weighing(0.5).scores(HISTORIES.numpy()).toarray()), expected(made(weight=0.5)))


@pytest.mark.parametrize(("first", "width"), [(0, N + 1), (0, 4), (4, 4), (8, 6), (10, 3)])
def test_a_tile_gets_what_its_items_get(first: int, width: int) -> None:
    scores = torch.randn(len(HISTORIES), width)
    wanted = scores.clone()
    columns = expected(made())[:, first : first + width]
    wanted[:, : columns.shape[1]] += columns
    made().added(HISTORIES.numpy(), CPU).to_tile(scores, first=first)
    assert_close(scores, wanted)


def test_chosen_items_get_theirs_wherever_they_stand() -> None:
    column = torch.zeros(N + 3, dtype=torch.int64)
    numbers = torch.tensor([0, 2, 3, 7, 11])
    column[numbers] = torch.arange(5)
    scores = torch.zeros(len(HISTORIES), 5)
    made().added(HISTORIES.numpy(), CPU).to_chosen(scores, column)
    assert_close(scores[:, 1:4], expected(made())[:, [2, 3, 7]])
    assert not scores[:, 4].any(), "the item has come after the counting"


def test_histories_of_later_items_alone_add_nothing() -> None:
    scores = torch.zeros(1, N + 1)
    Added.of(made().scores(np.array([[0, 12]])), scores.device).to_tile(scores, first=0)
    assert not scores.any()


def test_the_file_gives_back_what_was_counted(tmp_path: Path) -> None:
    save_together(made(), tmp_path / "t.safetensors", of_items="abc")
    found = load_together(tmp_path / "t.safetensors", of_items="abc", weight=3.0)
    assert (found.similar != made().similar).nnz == 0
    assert (found.recency, found.newest, found.weight) == (0.5, 3, 3.0)


def test_files_of_other_items_and_broken_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_together(made(), path, of_items="abc")
    with pytest.raises(RefusedError, match="of other items than the run ranks; train again"):
        load_together(path, of_items="other", weight=1.0)
    tensors = load_file(path)
    tensors["items"][0] = N + 5
    save_file(tensors, path, {"item_ids": "abc", "recency": "0.5", "newest": "3"})
    with pytest.raises(RefusedError, match="holds no similarities of items"):
        load_together(path, of_items="abc", weight=1.0)
    path.write_bytes(b"nothing")
    with pytest.raises(RefusedError, match="holds no similarities of items"):
        load_together(path, of_items="abc", weight=1.0)
    with pytest.raises(RefusedError, match="holds no similarities of items"):
        load_together(tmp_path / "absent.safetensors", of_items="abc", weight=1.0)
