"""How many threads compute: as many as make steps that repeat quickest here and now.

Two threads that share one core with somebody else's work wait for each other at every product, and take up to fifteen
times as long as one; alone, they gain up to half. Neither is known before it is tried, and both change while work goes
on. Waiting otherwise (spin counts, passive waiting) cures it not.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import torch

TRIES = 5
"""Steps that each number of threads is tried on, after one that wakes them."""
GAIN = 0.9
"""More threads are taken where a step takes less than this share of its time."""
HOPELESS = 2.0
"""So many times as slow as another number of threads: it is tried no further."""
SLOWER = 1.5
"""So many times the usual step: something else is at work here, and what suits may have changed."""
WATCHED = 15
"""Steps whose median is held against the usual one."""
RETRY_SECONDS = 60.0
"""Numbers of threads are not tried anew sooner."""


class SuitableThreads:
    """Tries numbers of threads on steps that repeat, and keeps the quickest; tries again where steps slow down.

    It is a context: at its end torch has the threads that it had before.

    Example:
        >>> with SuitableThreads(fewest=1, most=1) as threads:
        ...     with threads.step():
        ...         pass
        >>> threads.chosen
        1
    """

    def __init__(self, *, fewest: int = 1, most: int | None = None) -> None:
        """From `fewest` to `most` threads, by default what torch is set to; where these are equal, nothing is tried."""
        self._before = torch.get_num_threads()
        self.fewest, self.most = fewest, most or self._before
        self.chosen: int | None = None
        """None while numbers are tried."""
        self._usual = 0.0
        self._news = ""
        self._latest: deque[float] = deque(maxlen=WATCHED)

    @classmethod
    def on(cls, device: torch.device) -> Self:
        """For work on a device: a GPU's does not gain by threads, so nothing is tried there."""
        return cls(fewest=1 if device.type == "cpu" else torch.get_num_threads())

    def __enter__(self) -> Self:
        self._try_all()
        return self

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)

    @contextmanager
    def step(self, work: float = 1.0) -> Iterator[None]:
        """Around one step of the work, so much of it; what fails is not counted."""
        started = time.perf_counter()
        yield
        self._took((time.perf_counter() - started) / work)

    def _took(self, seconds: float) -> None:
        """Take in how long a step took, and set torch's threads for the next one."""
        if self.chosen is not None:
            self._watch(seconds)
            return
        times = self._times[self._now]
        times.append(seconds)
        if len(times) <= TRIES and not self._hopeless(times):
            return
        if self._now < self.most and not self._hopeless(times):
            self._set(min(2 * self._now, self.most))
            return
        self._choose()

    def news(self) -> str:
        """What was chosen since last asked, in a sentence; empty where nothing was."""
        news, self._news = self._news, ""
        return news

    def _try_all(self) -> None:
        self._times: dict[int, list[float]] = {}
        self._set(self.fewest)
        self.chosen = self.fewest if self.fewest == self.most else None

    def _set(self, threads: int) -> None:
        self._now = threads
        self._times.setdefault(threads, [])
        torch.set_num_threads(threads)

    def _hopeless(self, times: list[float]) -> bool:
        others = [_usual(t) for n, t in self._times.items() if n != self._now]
        return len(times) > 2 and bool(others) and _usual(times) > HOPELESS * min(others)

    def _choose(self) -> None:
        best, *more = sorted(self._times)
        for threads in more:
            if _usual(self._times[threads]) < GAIN * _usual(self._times[best]):
                best = threads
        tried = ", ".join(f"{n}: {1000 * _usual(times):.0f} ms" for n, times in sorted(self._times.items()))
        self._set(best)
        self.chosen, self._usual = best, _usual(self._times[best])
        self._chosen_at = time.monotonic()
        self._latest.clear()
        if len(self._times) > 1:
            self._news = f"{best} of {self.most} threads compute (the same step by threads: {tried})"

    def _watch(self, seconds: float) -> None:
        self._latest.append(seconds)
        if self.fewest == self.most or time.monotonic() - self._chosen_at < RETRY_SECONDS:
            return
        if len(self._latest) == WATCHED and statistics.median(self._latest) > SLOWER * self._usual:
            self._try_all()


def _usual(times: list[float]) -> float:
    """Seconds of a step, without the first one, which wakes threads and fills memory."""
    return statistics.median(times[1:] or times)
