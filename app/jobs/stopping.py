"""Signals that ask a process to leave: what is being done ends cleanly, and a line says so and how it goes on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""By a job's queue or a user, by Ctrl-C, and by batch systems shortly before time runs out."""

GOES_ON = {
    "train": "the last finished epoch is kept, go on with `iisan resume`",
    "resume": "what is finished is kept, go on with the same command",
    "extract": "what is finished is kept, go on with the same command",
    "study": "what is finished is kept, go on with the same command",
    "demo": "what is finished is kept, go on with the same command",
    "finish": "the run is as it was, close it with the same command",
    "data": "no half of a dataset is left behind, start it with the same command",
}
"""Verb → what became of its work."""


class StoppedError(KeyboardInterrupt):
    """A signal asked this process to leave; on its way out everything is closed as by Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """Within the block each of `SIGNALS` becomes a `StoppedError`, once: while that is worked off, others do nothing.

    Only a second Ctrl-C does: somebody is waiting there. Signals reach the main thread; in others this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_IGN)
        raise StoppedError(number)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def farewell(stopped: KeyboardInterrupt, *, verb: str) -> str:
    """What the shell says at last."""
    how = str(stopped) or "interrupted"
    return f"{how}; {GOES_ON[verb]}" if verb in GOES_ON else how
