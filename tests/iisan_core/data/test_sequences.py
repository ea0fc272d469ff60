"""Flat sequences and training windows against plain lists."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iisan_core.data.sequences import Sequences, Windows

LISTS = st.lists(st.lists(st.integers(1, 50), max_size=25), min_size=1, max_size=8)


def plain_windows(row, length):
    """From the newest item on: S targets a window, which begins with the item before its first target."""
    found = []
    end = len(row)
    while end > 1:
        found.append(row[max(0, end - length - 1) : end])
        end -= length
    return found


@given(LISTS)
def test_rows_come_out_as_they_went_in(lists):
    made = Sequences.of_lists(lists)
    rows, items = made.flat()
    assert [items[rows == n].tolist() for n in range(len(lists))] == lists
    assert made.lengths.tolist() == [len(row) for row in lists]
    assert [[n for n in row if n] for row in made.newest().tolist()] == lists
    assert [[n for n in row if n] for row in made.newest(4).tolist()] == [row[-4:] for row in lists]
    again = Sequences.from_padded(made.newest())
    assert again.newest().tolist() == made.newest().tolist()
    assert [[n for n in row if n] for row in made.last(3).newest().tolist()] == [row[-3:] for row in lists]
    backwards = np.arange(len(lists))[::-1]
    assert made.take(backwards).newest().tolist() == made.newest().tolist()[::-1]
    assert made.counts(50).sum() == sum(map(len, lists))


@given(LISTS, st.integers(1, 7))
def test_windows_are_those_of_plain_lists(lists, length):
    windows = Windows(Sequences.of_lists(lists), length)
    expected = [(n, w) for n, row in enumerate(lists) for w in plain_windows(row, length)]
    assert len(windows) == len(expected)
    everything = np.arange(len(windows))
    cut = [[n for n in row if n] for row in windows.take(everything).tolist()]
    found = sorted(zip(windows.rows(everything).tolist(), cut, strict=True))
    assert found == sorted(expected)
    assert windows.take(everything).shape == (len(expected), length + 1)


@given(LISTS, st.integers(1, 7))
def test_every_item_but_the_first_is_a_target_once(lists, length):
    windows = Windows(Sequences.of_lists(lists), length)
    cut = windows.take(np.arange(len(windows)))
    targets = [n for row in cut for before, n in pairwise(row) if before]
    assert sorted(targets) == sorted(n for row in lists for n in row[1:])


@pytest.mark.parametrize("length", [3, 10])
def test_weights_of_users_are_counted_over_their_whole_rows(length):
    windows = Windows(Sequences.of_lists([[1], list(range(1, 8)), [1, 2]]), length)
    everything = np.arange(len(windows))
    cut, each = windows.take(everything), 1 / windows.targets_of_rows(everything)
    per_window = ((cut[:, :-1] > 0) * each[:, None]).sum(axis=1)
    assert np.bincount(windows.rows(everything), per_window).tolist() == pytest.approx([0, 1, 1])
