"""A trained model, tested on states that have been damaged since."""

from __future__ import annotations

from collections.abc import Mapping

from iisan_core.config import DamageConfig
from iisan_core.errors import RefusedError
from iisan_core.evaluation.rank_table import PARTS
from iisan_core.metrics import summary
from iisan_core.model.saved import load_model
from iisan_core.run_folder import RunFolder
from iisan_core.training.damage import damaged
from iisan_core.training.device import choose_device
from iisan_core.training.evaluation import item_table, ranks_of
from iisan_core.training.inputs import RunInputs


def quality_under(run: RunFolder, damage: Mapping[str, DamageConfig]) -> dict[str, dict[str, float]]:
    """Quality × 100 of a finished run by part, were its items' states damaged so at test time.

    Raises `RefusedError` for a modality that the run does not read, and where states are dropped that the model has
    learned no stand-in for.
    """
    config = run.config()
    model = load_model(run.best)
    for name, what in damage.items():
        if what.kind == "dropped" and name not in model.shape.gaps:
            raise RefusedError(
                f"run {run.name} has learned nothing to stand in for a missing {name}; train it with "
                "model.modality_dropout above 0"
            )
    inputs, device = RunInputs.open(config), choose_device(config.training.device)
    bank = damaged(inputs.bank(device, where="memory" if device.type == "cpu" else "device"), damage)
    model = model.to(device)
    table = item_table(model, bank, precision=config.training.precision)
    return {part: summary(ranks_of(model, table, inputs.split, part)) for part in PARTS}
