"""A trained model, tested on states that have been damaged since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from iisan_core.config import DamageConfig
from iisan_core.errors import RefusedError
from iisan_core.evaluation.rank_table import PARTS
from iisan_core.metrics import summary
from iisan_core.model.recommender_model import RecommenderModel
from iisan_core.model.saved import load_model
from iisan_core.run_folder import RunFolder
from iisan_core.training.damage import damaged
from iisan_core.training.device import choose_device
from iisan_core.training.evaluation import item_table, ranks_of
from iisan_core.training.inputs import RunInputs

Quality = dict[str, dict[str, float]]
"""Part → metric → × 100."""


def qualities_under(run: RunFolder, damages: Sequence[Mapping[str, DamageConfig]]) -> list[Quality]:
    """Quality of a finished run were its items' states damaged at test time, for each of `damages`, one by one.

    Data, states and model are opened once. Raises `RefusedError` for a modality that the run does not read, and where
    states are dropped that the model has learned no stand-in for.
    """
    config = run.config()
    model = load_model(run.best)
    for damage in damages:
        _check_stand_ins(run, model, damage)
    inputs, device = RunInputs.open(config), choose_device(config.training.device)
    bank = inputs.bank(device, where="memory" if device.type == "cpu" else "device")
    model = model.to(device)
    found = []
    for damage in damages:
        table = item_table(model, damaged(bank, damage), precision=config.training.precision)
        found.append({part: summary(ranks_of(model, table, inputs.split, part)) for part in PARTS})
    return found


def _check_stand_ins(run: RunFolder, model: RecommenderModel, damage: Mapping[str, DamageConfig]) -> None:
    for name, what in damage.items():
        if what.kind == "dropped" and name not in model.shape.gaps:
            raise RefusedError(
                f"run {run.name} has learned nothing to stand in for a missing {name}; train it with "
                "model.modality_dropout above 0"
            )
