"""Slow imports ahead of time, in threads of their own, so that no first visit of a page waits for them."""

from __future__ import annotations

import importlib
import threading
import time
from functools import cache

from iisan_core.workspace import Workspace

THREAD = "import ahead of time"
AFTER = 0.5
"""Seconds: the page that is being drawn comes first."""
BACKBONES = "app.ui.extraction"
MODELS = "iisan_core.recommender"
"""With it torch, which takes over a second; importing it does not wake CUDA."""
ONE_AT_A_TIME = threading.Lock()
"""Both import parts of the library: two at once could see each other's half-made modules."""


def warm_up(workspace: Workspace) -> None:
    """Begin what has not begun yet; torch only where a finished run could be looked at."""
    _begin(BACKBONES)
    if any(workspace.runs.glob("*/results.json")):
        _begin(MODELS)


@cache
def _begin(module: str) -> None:
    """Once per process. No daemon: the process must not end in the midst of an import of torch."""
    threading.Thread(target=_import, args=(module,), name=THREAD).start()


def _import(module: str) -> None:
    time.sleep(AFTER)
    with ONE_AT_A_TIME:
        importlib.import_module(module)
