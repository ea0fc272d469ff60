"""What several processes compute together, and one alone: a step, epochs, ranks; run by torchrun, it prints JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from app.bench.random_work import Size, random_bank, random_split
from iisan_core.computing.processes import ProcessGroup
from iisan_core.config.schema import ModelConfig, TrainingConfig
from iisan_core.evaluation.ranks import ranks_of
from iisan_core.model.inference import item_table
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.batches import epoch_batches
from iisan_core.training.fit import fit
from iisan_core.training.step import Stepper


def compute(training: dict[str, Any], model: dict[str, Any], processes: ProcessGroup) -> dict[str, Any]:
    """Loss and gradients of the first step; losses, ranks and weights that two epochs end with."""
    torch.set_num_threads(1)
    size = Size(items=90, users=70, layers=2, text_width=12, image_width=8, max_history=4)
    split, bank = random_split(size), random_bank(size)
    training = TrainingConfig(batch_size=32, device="cpu", epochs=2, learning_rate=1e-3, **training)
    shape = size.shape(ModelConfig(bottleneck=4, embedding=8, heads=1, dropout=0.0, **model))
    torch.manual_seed(0)
    first = RecommenderModel(shape).train()
    stepper = Stepper(first, bank, split, training, processes=processes)
    batch = next(epoch_batches(split.windows, training, epoch=1))
    stepper.updater.update = lambda: None
    loss = stepper.step(batch).item()
    gradients = {name: p.grad.flatten().tolist() for name, p in first.named_parameters() if p.grad is not None}
    torch.manual_seed(0)
    whole = RecommenderModel(shape)
    events = list(fit(whole, bank, split, training, processes=processes))
    table = item_table(whole, bank, precision="float32", processes=processes)
    ranks = ranks_of(whole, table, split, "test", processes=processes)
    weights = torch.cat([p.detach().flatten() for p in whole.parameters()])
    return {
        "loss": loss,
        "gradients": gradients,
        "losses": [event.loss for event in events if type(event).__name__ == "EpochEnded"],
        "valid": [event.valid["HR@10"] for event in events if type(event).__name__ == "EpochEnded"],
        "ranks": ranks.tolist(),
        "weights": weights.tolist(),
    }


if __name__ == "__main__":
    here = ProcessGroup.here()
    found = [compute(training, model, here) for training, model in json.loads(sys.argv[1])]
    mine = torch.tensor([torch.tensor(one["weights"]).double().sum() for one in found]).double()
    alike = bool((here.sum(mine.clone()) - here.count * mine).abs().max() < 1e-12)
    if here.leads:
        sys.stdout.write(json.dumps({"found": found, "alike": alike}) + "\n")
