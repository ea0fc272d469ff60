"""A method trained to its end and measured, without a run folder: what a comparison of methods asks for."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from iisan_core.embedded.work import Work
from iisan_core.metrics import summary
from iisan_core.model.recommender_model import RecommenderModel
from iisan_core.training.evaluation import item_table, ranks_of
from iisan_core.training.events import EpochEnded
from iisan_core.training.fit import fit


@dataclass(frozen=True)
class Outcome:
    """What training came to."""

    quality: dict[str, float]
    """Test metrics × 100 at the best epoch by validation HR@10."""
    seconds_per_epoch: float
    """Median, without validation."""
    epochs: int
    best_epoch: int


def train_work(work: Work) -> Outcome:
    """Train until patience or epochs run out, go back to the best epoch, rank the test targets."""
    ended: list[EpochEnded] = []
    best: dict[str, Tensor] = {}
    with TemporaryDirectory() as folder:
        events = fit(
            work.model,
            work.bank,
            work.split,
            work.training,
            checkpoint=Path(folder),
            on_best=lambda model: best.update(_trained(model)),
        )
        ended = [event for event in events if isinstance(event, EpochEnded)]
    work.model.load_state_dict(best, strict=False)
    table = item_table(work.model, work.bank, precision=work.training.precision)
    quality = summary(ranks_of(work.model, table, work.split, "test"))
    return Outcome(quality, statistics.median(e.seconds for e in ended), ended[-1].epoch, ended[-1].best_epoch)


def _trained(model: RecommenderModel) -> dict[str, Tensor]:
    """Copies of what training changes; frozen weights are as they were."""
    return {name: p.detach().cpu().clone() for name, p in model.named_parameters() if p.requires_grad}
