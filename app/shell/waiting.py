"""What verbs that need a device share: whether to wait for it, and what to say meanwhile."""

from __future__ import annotations

from typing import Annotated

import typer

from app.shell.output import note

NoWait = Annotated[bool, typer.Option("--no-wait", help="Refuse, instead of waiting, if the device is taken.")]


def told_that_it_waits(ahead: list[str]) -> None:
    """Say on stderr who is ahead in the queue of a device."""
    note(f"queued behind {', '.join(ahead)}; starts by itself (Ctrl-C or `iisan stop` leaves the queue)")
