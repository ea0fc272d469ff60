"""Work of files and memory, done in threads a little before its outcome is wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")

Made = TypeVar("Made")


def ahead(
    given: Iterable[Given], make: Callable[[Given], Made], *, count: int, threads: int = 1
) -> Iterator[tuple[Given, Made]]:
    """Each of `given` with what `make` makes of it, in order; threads are up to `count` ahead of who consumes them.

    What `make` raises is raised where its outcome would have come. Whoever stops early has nothing to clear away.
    """
    waiting: deque[tuple[Given, Future[Made]]] = deque()
    workers = ThreadPoolExecutor(threads)
    try:
        for one in given:
            waiting.append((one, workers.submit(make, one)))
            if len(waiting) > count:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        workers.shutdown(cancel_futures=True)
