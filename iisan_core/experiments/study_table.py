"""A study's table: one line per row, mean and deviation over its seeds; written, and read again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from iisan_core.config.schema import CorruptionConfig, RunConfig
from iisan_core.errors import RefusedError
from iisan_core.evaluation.metrics import summary
from iisan_core.evaluation.rank_table import SUBSETS, protocol_name
from iisan_core.evaluation.ranks import ranks_of
from iisan_core.experiments.leaderboard import METRICS_SHOWN, mean_and_deviation, seed_table
from iisan_core.experiments.study import Row, Study, seeds_of
from iisan_core.experiments.tables import ABOUT, TABLE, as_markdown, with_spread
from iisan_core.experiments.uncached import uncached_figures
from iisan_core.files import replacing, write_json, write_text
from iisan_core.model.inference import item_table
from iisan_core.model.recommender import RecommenderModel
from iisan_core.model.saving import load_model
from iisan_core.runs.run_folder import RunFolder
from iisan_core.training.corruption import corrupted
from iisan_core.training.device import choose_device
from iisan_core.training.inputs import RunInputs

COSTS = ("best_epoch", "seconds_per_epoch")

WHOLE_COSTS = ("trainable_parameters", "peak_memory_bytes")

Quality: TypeAlias = dict[str, dict[str, float]]
"""Subset → metric → × 100."""

OpenInputs: TypeAlias = Callable[[RunConfig], RunInputs]
"""`RunInputs.open`, or what remembers what it has opened."""


def write_tables(
    study: Study,
    folder: Path,
    *,
    seeds: Sequence[int],
    left_out: Mapping[str, str] | None = None,
    open_inputs: OpenInputs = RunInputs.open,
) -> pl.DataFrame:
    """Write the table as Parquet, CSV and Markdown, and what the study is about; returns the table.

    Rows that are `left_out`, by their names, stand with the reason in the latter alone.
    """
    left_out = left_out or {}
    measured = study.without(left_out)
    table = study_table(measured, folder, seeds=seeds, open_inputs=open_inputs)
    with replacing(folder / TABLE) as path:
        table.write_parquet(path)
    with replacing(folder / "table.csv") as path:
        table.write_csv(path)
    write_text(folder / "table.md", as_markdown(with_spread(table)))
    about = {"study": study.name, "question": study.question, "seeds": list(seeds), "left_out": dict(left_out)}
    write_json(folder / ABOUT, about | {"protocol": _protocol(measured, folder, seeds)})
    return table


def study_table(
    study: Study, folder: Path, *, seeds: Sequence[int], open_inputs: OpenInputs = RunInputs.open
) -> pl.DataFrame:
    """Rows in the study's order: name, facts, quality × 100 with `…_deviation`, costs (means over seeds).

    Raises `RefusedError` where a run has not finished.
    """
    lines: dict[int, dict[str, Any]] = {}
    for name, numbers in study.trainings().items():
        rows = {number: study.rows[number] for number in numbers}
        runs = [folder / f"{name}-seed{seed}" for seed in seeds_of(study.rows[numbers[0]].config, seeds)]
        lines |= _lines(rows, runs, open_inputs)
    return pl.DataFrame([lines[number] for number in range(len(study.rows))], infer_schema_length=None)


def _lines(rows: Mapping[int, Row], runs: Sequence[Path], open_inputs: OpenInputs) -> dict[int, dict[str, Any]]:
    """The lines of rows that share their runs, by number."""
    first = next(iter(rows.values()))
    measured = _uncached(runs) if first.uncached else _of_runs([RunFolder.open(run) for run in runs])
    under = _under_corruption(rows, runs, open_inputs)
    return {n: {"row": row.name, **row.facts, **measured, **under.get(n, {})} for n, row in rows.items()}


def _of_runs(runs: Sequence[RunFolder]) -> dict[str, float | None]:
    (found,) = seed_table(runs).iter_rows(named=True)
    measured = {column: found[column] for column in found if column.startswith(("valid_", "test_"))}
    return measured | _costs(found, len(runs))


def _uncached(runs: Sequence[Path]) -> dict[str, float | None]:
    figures = [uncached_figures(run.with_name(f"{run.name}.json")) for run in runs]
    quality = _spread([{"valid": found["valid"], "test": found["quality"]} for found in figures])
    means = {cost: float(np.mean([found[cost] for found in figures])) for cost in (*COSTS, *WHOLE_COSTS)}
    return quality | _costs(means, len(runs))


def _costs(found: Mapping[str, Any], runs: int) -> dict[str, float | None]:
    whole = {cost: round(found[cost] or 0) for cost in WHOLE_COSTS}
    return {"runs": runs, **{cost: found[cost] for cost in COSTS}, **whole}


def _under_corruption(
    rows: Mapping[int, Row], runs: Sequence[Path], open_inputs: OpenInputs
) -> dict[int, dict[str, float | None]]:
    """Quality of the rows that are tested under corruption, by number; each run is opened once for all of them."""
    corruptions = {number: row.tested_under for number, row in rows.items() if row.tested_under}
    if not corruptions:
        return {}
    of_runs = [
        qualities_under(RunFolder.open(run), list(corruptions.values()), open_inputs=open_inputs) for run in runs
    ]
    return {number: _spread(list(found)) for number, found in zip(corruptions, zip(*of_runs, strict=True), strict=True)}


def _spread(found: Sequence[Quality]) -> dict[str, float | None]:
    """Mean and deviation of each metric over the seeds."""
    measured: dict[str, float | None] = {}
    for subset in SUBSETS:
        for metric in METRICS_SHOWN:
            values = [quality[subset][metric] for quality in found]
            measured |= mean_and_deviation(f"{subset}_{metric}", values)
    return measured


def qualities_under(
    run: RunFolder, corruptions: Sequence[Mapping[str, CorruptionConfig]], *, open_inputs: OpenInputs = RunInputs.open
) -> list[Quality]:
    """Quality of a finished run were its items' states corrupted at test time, for each of `corruptions`, one by one.

    Data, states and model are opened once. Raises `RefusedError` for a modality that the run does not read, and where
    states are dropped that the model has learned no stand-in for.
    """
    config = run.usable_config()
    model = load_model(run.best)
    for corruption in corruptions:
        _check_stand_ins(run, model, corruption)
    inputs, device = open_inputs(config), choose_device(config.training.device)
    states = inputs.states(device, where="memory" if device.type == "cpu" else "device")
    model = model.to(device)
    found: list[Quality] = []
    for corruption in corruptions:
        table = item_table(model, corrupted(states, corruption), precision=config.training.precision)
        found.append({subset: summary(ranks_of(model, table, inputs.split, subset)) for subset in SUBSETS})
    return found


def _check_stand_ins(run: RunFolder, model: RecommenderModel, corruption: Mapping[str, CorruptionConfig]) -> None:
    for name, what in corruption.items():
        if what.kind == "dropped" and name not in model.shape.missing:
            raise RefusedError(
                f"run {run.name} has learned nothing to stand in for a missing {name}; train it with "
                "model.modality_dropout above 0"
            )


def _protocol(study: Study, folder: Path, seeds: Sequence[int]) -> str:
    """In words; one for all rows."""
    name = next(name for name, numbers in study.trainings().items() if not study.rows[numbers[0]].uncached)
    return protocol_name(RunFolder.open(folder / f"{name}-seed{seeds[0]}").results(), subset="test", masked=True)
