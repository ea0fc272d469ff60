"""What a job is and how far it is, in words for people."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from app.jobs.listing import Listed
from iisan_core.errors import IisanError
from iisan_core.runs.run_folder import CONFIG, RunFolder
from iisan_core.runs.status import Status

BACKBONES = ("--image", "--text", "--video", "--audio")


def title_of(job: Listed) -> str:
    """What a job is: `Training of shop-text-1 on shop`, `Extraction of shop with minilm`."""
    if job.is_run:
        dataset = _dataset_of(job.folder.path)
        return f"Training of {job.folder.name}" + (f" on {dataset}" if dataset else "")
    try:
        verb, *rest = job.folder.card().argv
    except (IisanError, OSError, ValueError):
        return job.folder.name
    named = [Path(word).name for word in rest if not word.startswith("-")]
    first, second = [*named, "", ""][:2]
    if verb == "extract":
        backbones = [Path(value).name for option, value in pairwise(rest) if option in BACKBONES]
        return f"Extraction of {first} with {' and '.join(backbones)}"
    said = {"study": f"Study {first} on {second}", "demo": "The demo world", "gradio": f"Demo of {first}"}
    return said.get(verb) or f"{verb} {first}".strip()


def _dataset_of(run: Path) -> str:
    try:
        return _dataset(run, (run / CONFIG).stat().st_mtime_ns)
    except (IisanError, OSError):
        return ""


@lru_cache(maxsize=1024)
def _dataset(run: Path, changed: int) -> str:
    return RunFolder(run).config().dataset.name


def share_of(status: Status) -> float | None:
    """How far a job is, from 0 to 1; None where nobody can say."""
    within = min(status.steps.done / status.steps.total, 1.0) if status.steps and status.steps.total else None
    if status.epochs:
        return min((status.epoch + (within or 0.0)) / status.epochs, 1.0)
    return within


def how_far(status: Status) -> str:
    """How far a job is; nothing once it is over."""
    if not status.active:
        return ""
    if status.state == "queued":
        return status.message or "waits for its turn"
    if status.steps:
        return f"{status.steps.doing}: {status.steps.done:,} of {status.steps.total:,}"
    return f"epoch {status.epoch} of {status.epochs}" if status.epochs else "getting ready"
