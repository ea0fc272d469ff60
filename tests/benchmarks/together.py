"""`torchrun --nproc-per-node 2 -m tests.benchmarks.together`: seconds of a step that they share; JSON.

Random states and sequences, by default Scientific with BERT-base and ViT-base, batch 512.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import torch

from app.bench.measure import reserved, timed
from app.bench.random_work import Size, random_bank, random_split
from app.bench.step import described
from iisan_core.computing.processes import ProcessGroup
from iisan_core.config.schema import ModelConfig, TrainingConfig
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.batches import epoch_batches
from iisan_core.training.device import choose_device, peak_memory
from iisan_core.training.step import Stepper
from tests.benchmarks.epoch import parser_of_training, print_figures, training_asked


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of_training(__doc__, batch_size=512, precision="float32", repeats=20)
    asked = parser.parse_args(arguments)
    processes = ProcessGroup.here()
    found = bench_together(
        Size(items=asked.items, users=asked.users), training_asked(asked), processes, repeats=asked.repeats
    )
    if processes.leads:
        print_figures(found)


def bench_together(size: Size, training: TrainingConfig, processes: ProcessGroup, *, repeats: int) -> dict[str, Any]:
    """Median seconds of a step of all processes, and the memory of this one."""
    device = choose_device(training.device)
    torch.manual_seed(training.seed)
    split, bank = random_split(size), random_bank(size).to(device)
    model = RecommenderModel(size.shape(ModelConfig())).to(device).train()
    stepper = Stepper(model, bank, split, training, processes=processes)
    batches = cycle(list(epoch_batches(split.windows, training, epoch=1)))
    figures = timed(lambda: stepper.step(next(batches)), device=device, repeats=repeats, warmup=3)
    return {
        "bench": "together",
        **figures,
        "processes": processes.count,
        "peak_memory_bytes": peak_memory(device),
        "reserved_memory_bytes": reserved(device),
        **described(stepper, size, training),
    }


if __name__ == "__main__":
    main()
