"""Torch ahead of time, in a thread of its own, so that the first look at a run does not wait for it."""

from __future__ import annotations

import importlib
import threading
import time
from functools import cache

from iisan_core.workspace import Workspace

THREAD = "torch, ahead of time"
AFTER = 0.5
"""Seconds: the page that is being drawn comes first."""


def warm_up(workspace: Workspace) -> None:
    """Import torch where a finished run could be looked at, once; that does not wake CUDA."""
    if any(workspace.runs.glob("*/results.json")):
        _begin()


@cache
def _begin() -> None:
    """No daemon: the process must not end in the midst of an import of torch."""
    threading.Thread(target=_import, name=THREAD).start()


def _import() -> None:
    time.sleep(AFTER)
    importlib.import_module("iisan_core.recommender")
