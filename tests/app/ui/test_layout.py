"""One look for every state that a run, a job or a cache can be in."""

from __future__ import annotations

from typing import get_args

from app.ui.layout import STATES
from iisan_core.runs.status import State


def test_every_state_has_one_look() -> None:
    assert set(STATES) == {*get_args(State), "complete", "unfinished", "broken"}
