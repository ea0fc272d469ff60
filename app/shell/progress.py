"""Progress bars on stderr over what the library yields."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from app.jobs.work import report_steps
from iisan_core.cache.extract import ExtractionProgress
from iisan_core.training.events import EpochEnded, Event, Progress, TrainingEnded


def show_extraction(records: Iterable[ExtractionProgress], *, label: str, hidden: bool = False) -> ExtractionProgress:
    """Show an extraction as it goes, unless another process does; returns its last record."""
    last: ExtractionProgress | None = None
    with tqdm(desc=label, unit="item", disable=hidden or None) as bar:
        for last in records:
            bar.total = last.total
            bar.update(last.done - bar.n)
            report_steps(label, done=last.done, total=last.total)
    assert last is not None, "an extraction ends with a record"
    return last


def show_training(events: Iterable[Event], *, epochs: int, label: str) -> TrainingEnded:
    """Show a training as it goes: loss, validation HR@10 and the time left at most; returns how it ended."""
    ended: TrainingEnded | None = None
    with tqdm(desc=label, total=epochs, unit="epoch", disable=None) as bar:
        for event in events:
            match event:
                case Progress():
                    bar.update(event.epoch - 1 + event.step / event.steps - bar.n)
                    bar.set_postfix_str(f"loss {event.loss:.3f}", refresh=False)
                case EpochEnded():
                    best = f"best {event.best_hr10:.2f} at {event.best_epoch}"
                    bar.set_description_str(f"{label}: valid HR@10 {event.valid['HR@10']:.2f} ({best})")
                case TrainingEnded():
                    ended = event
    assert ended is not None, "a training ends with a record"
    return ended


def shortened(path: Path) -> str:
    """A path relative to the current folder where it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(path)
