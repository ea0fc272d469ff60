"""The paper's table: what each way of adapting backbones costs in time, memory and parameters, and what it gives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import polars as pl
import torch

from iisan_core.bench.method_work import MethodTask, RandomTask, RealTask
from iisan_core.comparison.tpme import tpme
from iisan_core.config import RunConfig
from iisan_core.embedded.options import Method, MethodOptions
from iisan_core.errors import IisanError, RefusedError
from iisan_core.files import read_json, write_json

METHODS: tuple[Method, ...] = get_args(Method)
LAST_LINES = 5


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
    """Memory that one method has touched would otherwise be counted for the next."""
    with TemporaryDirectory() as folder:
        given, result = Path(folder) / "task.json", Path(folder) / "result.json"
        write_json(given, task.model_dump(mode="json"))
        command = [sys.executable, "-m", "iisan_core.bench.method_process", str(given), str(result)]
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
    figures: dict[str, Any] = found["figures"]
    return figures
