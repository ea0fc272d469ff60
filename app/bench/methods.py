"""The paper's table: what each way of adapting backbones costs in time, memory and parameters, and what it gives.

Each method is measured in a process of its own, as memory that one has touched would otherwise be counted for the next.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import polars as pl
import torch
from pydantic import Field

from app.bench.measure import machine, reserved, timed
from app.bench.random_work import BackboneSizes, Size, random_backbones, random_bank, random_inputs, random_split
from iisan_core.backbones.layers import choose_layers
from iisan_core.config.schema import Method, MethodOptions, ModelConfig, RunConfig, Strict, TrainingConfig, validated
from iisan_core.errors import IisanError, RefusedError
from iisan_core.experiments.leaderboard import tpme
from iisan_core.files import read_json, write_json
from iisan_core.finetuning.model import BackboneTower, embedded_model
from iisan_core.finetuning.train import TrainingSetup, open_setup, train_setup, training_of
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.batches import epoch_batches
from iisan_core.training.device import choose_device, peak_memory, reset_peak_memory, resident_memory
from iisan_core.training.step import Stepper

METHODS: tuple[Method, ...] = get_args(Method)

LAST_LINES = 5
"""Of what a process that failed has said."""


class RandomTask(Strict):
    """Work of a given size: random backbones, random inputs, a made-up log."""

    items: int = Field(Size.items, ge=2)
    users: int = Field(Size.users, ge=1)
    backbones: BackboneSizes = BackboneSizes()
    layers: str = "even"
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()


class RealTask(Strict):
    """A run's configuration, and where its backbones lie now."""

    config: RunConfig
    backbones: dict[str, str] = Field(default_factory=dict)


class MethodTask(Strict):
    """What a process is to measure."""

    method: Method
    work: RandomTask | RealTask
    options: MethodOptions = MethodOptions()
    train: bool = False
    """To the end, for its quality; else `steps` are timed."""
    steps: int = Field(3, ge=1)
    warmup: int = Field(1, ge=0)
    threads: int = Field(1, ge=1)


def compare_methods(
    config: RunConfig,
    *,
    methods: Sequence[Method] = METHODS,
    train: bool = True,
    options: MethodOptions | None = None,
    backbones: Mapping[str, str | Path] | None = None,
    steps: int = 10,
) -> pl.DataFrame:
    """One row per method on the same data, loss, user encoder, batch and protocol; see `methods_table`.

    Args:
        config: data, caches, protocol, model and training; the caches say which backbones, layers and inputs.
        methods: of `cached`, `uncached`, `lora`, `adapter`, `bitfit`, `full`.
        train: to the end, for test metrics; otherwise `steps` steps are timed and the epoch is extrapolated.
        options: what methods inside the backbones have of their own.
        backbones: by modality where a backbone lies now, if not where its cache says.

    Raises:
        RefusedError: a name is no method, something cannot be opened, or a backbone does not fit its cache or method.
        IisanError: the process of a method failed, for instance for want of memory.
    """
    places = {name: str(place) for name, place in (backbones or {}).items()}
    work = RealTask(config=config.with_absolute_paths(), backbones=places)
    return methods_table(list(measure_methods(work, methods=methods, train=train, options=options, steps=steps)))


def measure_methods(
    work: RandomTask | RealTask,
    *,
    methods: Sequence[Method] = METHODS,
    train: bool = False,
    options: MethodOptions | None = None,
    steps: int = 3,
    warmup: int = 1,
) -> Iterator[dict[str, Any]]:
    """The figures of one method after the other, each measured in a process of its own; see `measure`."""
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        raise RefusedError(f"no methods {', '.join(unknown) or 'given'}; choose of {', '.join(METHODS)}")
    for method in methods:
        yield _in_own_process(
            MethodTask(
                method=method,
                work=work,
                options=options or MethodOptions(),
                train=train,
                steps=steps,
                warmup=warmup,
                threads=torch.get_num_threads(),
            )
        )


def methods_table(figures: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Figures as a table, cheapest epoch first, with `tpme` over exactly these methods (undefined for one)."""
    table = pl.DataFrame(figures, infer_schema_length=None).sort("seconds_per_epoch")
    return tpme(table) if table.height > 1 else table.with_columns(tpme=pl.lit(None, dtype=pl.Float64))


def _in_own_process(task: MethodTask) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        given, result = Path(folder) / "task.json", Path(folder) / "result.json"
        write_json(given, task.model_dump(mode="json"))
        command = [sys.executable, "-m", __name__, str(given), str(result)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode != 0:
            said = "\n".join(process.stderr.strip().splitlines()[-LAST_LINES:])
            raise IisanError(
                f"method {task.method} failed with exit code {process.returncode} (−9: killed, mostly for want of "
                f"memory; take a smaller batch): {said}"
            )
        found: dict[str, Any] = read_json(result, what="figures of a benchmark")
    if "refused" in found:
        raise RefusedError(f"method {task.method}: {found['refused']}")
    return dict(found["figures"])


def main(task_path: Path, result_path: Path) -> None:
    """Called by `python -m` in a process of its own: read the task, leave its figures, or why it was refused."""
    task = validated(MethodTask, read_json(task_path, what="task of a benchmark"), where=str(task_path))
    result: dict[str, Any]
    try:
        result = {"figures": measure(task)}
    except RefusedError as error:
        result = {"refused": str(error)}
    write_json(result_path, result)


def measure(task: MethodTask) -> dict[str, Any]:
    """The figures of one method; call it in a process that has done nothing but import.

    Memory on a CPU is what the process is resident with beyond its imports, everything that the method needs to work
    included: weights, optimiser, activations, cached states or model inputs.
    """
    torch.set_num_threads(task.threads)
    reset_peak_memory(torch.device("cpu"))  # gives back what imports have freed
    before = resident_memory()
    work = _opened(task)
    device = next(work.model.parameters()).device
    reset_peak_memory(device)
    figures = _trained(work) if task.train else _stepped(work, task)
    beyond = 0 if device.type == "cuda" else before
    return {
        "method": task.method,
        **figures,
        "trainable_parameters": work.trainable_parameters,
        "peak_memory_bytes": peak_memory(device) - beyond,
        "reserved_memory_bytes": reserved(device),
        "memory_of": "GPU, allocated" if device.type == "cuda" else "process, beyond its imports",
        "batch_size": work.training.batch_size,
        "precision": work.training.precision,
        "gradient_checkpointing": task.options.gradient_checkpointing and task.method not in ("cached", "uncached"),
        "dataset": work_name(task),
        **machine(device),
    }


def work_name(task: MethodTask) -> str:
    """What the work is called: the dataset's folder, or the sizes of what is made up."""
    work = task.work
    if isinstance(work, RealTask):
        return work.config.dataset.name
    return f"random, {work.users:,} users, {work.items:,} items"


def _opened(task: MethodTask) -> TrainingSetup:
    if isinstance(task.work, RealTask):
        return open_setup(task.work.config, task.method, options=task.options, backbones=task.work.backbones)
    return _random(task.work, task.method, task.options)


def _random(task: RandomTask, method: Method, options: MethodOptions) -> TrainingSetup:
    sizes, training = task.backbones, training_of(task.training, method, options)
    device = choose_device(training.device)
    depth = {"image": sizes.image_layers, "text": sizes.text_layers}
    layers = {name: choose_layers(task.layers, n) for name, n in depth.items()}
    size = Size(items=task.items, users=task.users, layers=len(layers["text"]),
                text_width=sizes.text_width, image_width=sizes.image_width)  # fmt: skip
    split = random_split(size)
    torch.manual_seed(training.seed)
    if method == "cached":
        return TrainingSetup(
            RecommenderModel(size.shape(task.model)).to(device), random_bank(size).to(device), split, training
        )
    towers = {
        name: BackboneTower(
            backbone, layers=layers[name] if method == "uncached" else layers[name][-1:], pooling="mean"
        )
        for name, backbone in random_backbones(sizes).items()
    }
    model = embedded_model(method, towers, task.model, max_history=size.max_history, items=task.items, options=options)
    return TrainingSetup(model.to(device), random_inputs(sizes, items=task.items, device=device), split, training)


def _trained(work: TrainingSetup) -> dict[str, Any]:
    outcome = train_setup(work)
    return {
        "seconds_per_epoch": outcome.seconds_per_epoch,
        "extrapolated": False,
        "epochs": outcome.epochs,
        "best_epoch": outcome.best_epoch,
        **{f"test_{name}": value for name, value in outcome.quality.items()},
    }


def _stepped(work: TrainingSetup, task: MethodTask) -> dict[str, Any]:
    """A few steps, and the epoch that they come to."""
    training = work.training
    per_epoch = -(-len(work.split.windows) // training.batch_size)
    drawn = epoch_batches(work.split.windows, training, epoch=1)
    batches = list(islice(drawn, min(per_epoch, task.steps + task.warmup)))
    stepper, order = Stepper(work.model.train(), work.bank, work.split, training), cycle(batches)
    device = stepper.device
    figures = timed(lambda: stepper.step(next(order)), device=device, repeats=task.steps, warmup=task.warmup)
    return {
        "seconds_per_step": figures["median_s"],
        "step_min_s": figures["min_s"],
        "step_max_s": figures["max_s"],
        "steps": task.steps,
        "steps_per_epoch": per_epoch,
        "seconds_per_epoch": figures["median_s"] * per_epoch,
        "extrapolated": task.steps < per_epoch,
        "distinct_items": sum(len(batch.items) for batch in batches) / len(batches),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
