"""What training says while it goes on: the shell shows it, the run folder stores it, tests collect it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """Some steps of an epoch are done."""

    epoch: int
    step: int
    steps: int
    loss: float
    """Mean over the epoch's steps so far."""


@dataclass(frozen=True)
class EpochEnded:
    """An epoch is done, validated, and in the checkpoint."""

    epoch: int
    loss: float
    seconds: float
    """Of training, without validation."""
    valid: dict[str, float]
    best_epoch: int
    best_hr10: float
    waited: int
    """Epochs since the best one."""


@dataclass(frozen=True)
class Noted:
    """Something was decided on the way that the log is to say."""

    sentence: str


@dataclass(frozen=True)
class TrainingEnded:
    """No further epoch comes; `reason` is `patience`, `epochs`, `stopped`, `counted` for a baseline, or `blended`."""

    reason: str
    best_epoch: int
    epochs: int


Event = Progress | EpochEnded | Noted | TrainingEnded
KINDS = {Progress: "progress", EpochEnded: "epoch", Noted: "note", TrainingEnded: "ended"}


def as_record(event: Event) -> dict[str, Any]:
    """A plain record for a JSON line, its kind under `event`."""
    return {"event": KINDS[type(event)], **asdict(event)}
