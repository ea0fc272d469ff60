"""Every user's ranks under both protocols: items of the history masked, and ranked like all others."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import Tensor

from iisan_core.baselines import count, counted_ranks
from iisan_core.evaluation.rank_table import PARTS, UNMASKED, rank_table
from iisan_core.model.recommender_model import RecommenderModel
from iisan_core.model.saved import load_model
from iisan_core.run_folder import RunFolder
from iisan_core.sequences import Split
from iisan_core.training.damage import damaged
from iisan_core.training.device import choose_device
from iisan_core.training.evaluation import item_table, ranks_of
from iisan_core.training.inputs import RunInputs


def all_ranks(model: RecommenderModel, table: Tensor, split: Split) -> dict[str, NDArray[np.int64]]:
    """Ranks [U] by the name of their column in a rank table, from item vectors [N + 1, E]."""
    masked = {part: ranks_of(model, table, split, part) for part in PARTS}
    return masked | {part + UNMASKED: ranks_of(model, table, split, part, masked=False) for part in PARTS}


def rank_anew(run: RunFolder) -> pl.DataFrame:
    """Encode all items with the best weights, or count anew, and rank every user's targets; returns a rank table.

    Raises `RefusedError` if the run has no weights, or its dataset or caches cannot be used.
    """
    config = run.config()
    inputs = RunInputs.open(config)
    if config.baseline is not None:
        return rank_table(inputs.split, counted_ranks(count(inputs.split, config.baseline), inputs.split))
    model = load_model(run.best).to(choose_device(config.training.device))
    bank = damaged(inputs.bank(next(model.parameters()).device), config.damage)
    table = item_table(model, bank, precision=config.training.precision)
    return rank_table(inputs.split, all_ranks(model, table, inputs.split))
