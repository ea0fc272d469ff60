"""`python -m tests.benchmarks.epoch`: seconds of whole epochs on random states and sequences, and training's memory.

Batches made, states gathered, every step, no validation; by default Scientific with BERT-base and ViT-base. JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, get_args

import torch

from app.bench.measure import reserved, timed
from app.bench.random_work import Size
from app.bench.step import described, random_stepper
from iisan_core.config.schema import DeviceChoice, ModelConfig, Precision, TrainingConfig
from iisan_core.training.batches import epoch_batches
from iisan_core.training.device import choose_device, peak_memory, reset_peak_memory, resident_memory


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of_training(__doc__, batch_size=64, precision="float32", repeats=3)
    parser.add_argument("--compile", action="store_true", help="with `training.compile`")
    parser.add_argument("--layers", type=int, default=Size.layers, help="L: kept layers of each backbone")
    parser.add_argument("--text-width", type=int, default=Size.text_width, help="D of the text backbone")
    parser.add_argument("--image-width", type=int, default=Size.image_width, help="D of the image backbone")
    asked = parser.parse_args(arguments)
    size = Size(
        items=asked.items, users=asked.users, layers=asked.layers,
        text_width=asked.text_width, image_width=asked.image_width,
    )  # fmt: skip
    training = training_asked(asked).model_copy(update={"compile": asked.compile})
    print_figures(bench_epoch(size, ModelConfig(), training, repeats=asked.repeats))


def bench_epoch(size: Size, model: ModelConfig, training: TrainingConfig, *, repeats: int = 3) -> dict[str, Any]:
    """Median seconds of an epoch on random work of `size`, and the memory that training takes.

    `state_bytes` are the cached states that lie on the device; on a CPU the peak is the process's, beyond what it held
    before the work was made.
    """
    device = choose_device(training.device)
    torch.optim.AdamW([torch.zeros(1)])  # imports more of torch, which would count as training's memory below
    reset_peak_memory(device)  # gives back what imports have freed
    before = 0 if device.type == "cuda" else resident_memory()
    stepper, split = random_stepper(size, model, training)
    reset_peak_memory(device)

    def epoch() -> None:
        for batch in epoch_batches(split.windows, training, epoch=1):
            stepper.step(batch)

    figures = timed(epoch, device=device, repeats=repeats, warmup=1)
    return {
        "bench": "epoch",
        **figures,
        "steps": -(-len(split.windows) // training.batch_size),
        "interactions": int(split.train.lengths.sum()),
        "peak_memory_bytes": peak_memory(device) - before,
        "reserved_memory_bytes": reserved(device),
        "state_bytes": stepper.states.nbytes,
        **described(stepper, size, training),
    }


def parser_of_training(
    about: str | None, *, batch_size: int, precision: Precision, repeats: int
) -> argparse.ArgumentParser:
    """Options of a benchmark that trains, with its own defaults."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=Size.items, help="N: items")
    parser.add_argument("--users", type=int, default=Size.users, help="U: users")
    parser.add_argument("--batch-size", type=int, default=batch_size, help="B: users in a batch")
    parser.add_argument("--precision", choices=get_args(Precision), default=precision)
    parser.add_argument("--device", choices=get_args(DeviceChoice), default="auto")
    parser.add_argument("--repeats", type=int, default=repeats, help="timed calls")
    return parser


def training_asked(asked: argparse.Namespace) -> TrainingConfig:
    return TrainingConfig(batch_size=asked.batch_size, precision=asked.precision, device=asked.device)


def print_figures(figures: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
