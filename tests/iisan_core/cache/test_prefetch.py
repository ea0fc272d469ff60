"""Work ahead of its consumer: in order, no further than told, and its faults come out."""

import threading
import time

import pytest

from iisan_core.cache.prefetch import ahead


def test_everything_comes_in_order_whatever_is_quickest():
    def slow_at_first(n):
        time.sleep(0.02 if n == 0 else 0)
        return n * n

    assert list(ahead(range(9), slow_at_first, count=3, threads=3)) == [(n, n * n) for n in range(9)]
    assert list(ahead([], slow_at_first, count=3)) == []


def test_it_is_so_far_ahead_and_no_further():
    made = []
    results = ahead(iter(range(9)), made.append, count=2)
    next(results)
    while len(made) < 3:
        time.sleep(0.001)
    time.sleep(0.02)
    assert made == [0, 1, 2]
    results.close()


def test_work_is_done_in_another_thread():
    ((_, worker),) = ahead([0], lambda _: threading.current_thread(), count=1)
    assert worker is not threading.current_thread()
    assert not worker.is_alive(), "it ends with the work"


def test_a_fault_is_raised_in_its_place():
    results = ahead([2, 1, 0], lambda n: 2 // n, count=2)
    assert [next(results), next(results)] == [(2, 1), (1, 2)]
    with pytest.raises(ZeroDivisionError):
        next(results)
