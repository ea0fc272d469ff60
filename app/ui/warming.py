"""Slow imports ahead of time, in threads of their own, so that no first visit of a page waits for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache

from iisan_core.runs.workspace import Workspace

THREAD = "import ahead of time"
AFTER = 0.5
"""Seconds: the page that is being drawn comes first."""
ONE_AT_A_TIME = threading.Lock()
"""Both import parts of the library: two at once could see each other's half-made modules."""


def warm_up(workspace: Workspace) -> None:
    """Begin what has not begun yet; torch only where a finished run could be looked at."""
    _begin(_import_backbones)
    if any(workspace.runs.glob("*/results.json")):
        _begin(_import_models)


def _import_backbones() -> None:
    import app.ui.extraction  # noqa: F401 - importing it is the work


def _import_models() -> None:
    """With it torch, which takes over a second; importing it does not wake CUDA."""
    import iisan_core.serving.recommender  # noqa: F401 - importing it is the work


@cache
def _begin(work: Callable[[], None]) -> None:
    """Once per process. No daemon: the process must not end in the midst of an import of torch."""
    threading.Thread(target=_do, args=(work,), name=THREAD).start()


def _do(work: Callable[[], None]) -> None:
    time.sleep(AFTER)
    with ONE_AT_A_TIME:
        work()
