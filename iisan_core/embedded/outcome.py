"""A method trained to its end and measured, without a run folder: what a comparison of methods asks for."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from iisan_core.embedded.work import Work
from iisan_core.metrics import summary
from iisan_core.model.recommender_model import RecommenderModel
from iisan_core.training.evaluation import item_table, ranks_of
from iisan_core.training.events import EpochEnded, Event
from iisan_core.training.fit import fit


@dataclass(frozen=True)
class Outcome:
    """What training came to."""

    quality: dict[str, float]
    """Test metrics × 100 at the best epoch by validation HR@10."""
    valid: dict[str, float]
    """The same on the validation targets."""
    seconds_per_epoch: float
    """Median, without validation."""
    epochs: int
    best_epoch: int


def train_work(work: Work) -> Outcome:
    """Train until patience or epochs run out, go back to the best epoch, rank the test targets."""
    *_, outcome = watched_work(work)
    assert isinstance(outcome, Outcome), "it comes last"
    return outcome


def watched_work(work: Work) -> Iterator[Event | Outcome]:
    """What happens while `train_work` does its work, and its outcome at the end."""
    ended: list[EpochEnded] = []
    best: dict[str, Tensor] = {}
    with TemporaryDirectory() as folder:
        for event in fit(
            work.model,
            work.bank,
            work.split,
            work.training,
            checkpoint=Path(folder),
            on_best=lambda model: best.update(_trained(model)),
        ):
            yield event
            if isinstance(event, EpochEnded):
                ended.append(event)
    work.model.load_state_dict(best, strict=False)
    table = item_table(work.model, work.bank, precision=work.training.precision)
    quality = summary(ranks_of(work.model, table, work.split, "test"))
    last = ended[-1]
    valid = next(epoch.valid for epoch in ended if epoch.epoch == last.best_epoch)
    yield Outcome(quality, valid, statistics.median(e.seconds for e in ended), last.epoch, last.best_epoch)


def _trained(model: RecommenderModel) -> dict[str, Tensor]:
    """Copies of what training changes; frozen weights are as they were."""
    return {name: p.detach().cpu().clone() for name, p in model.named_parameters() if p.requires_grad}
