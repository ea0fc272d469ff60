"""A study's outcome: one line per row, mean and deviation over its seeds.

A trained model, tested on states that have been damaged since.

What a finished study leaves behind beside its runs; read without anything that trains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from iisan_core.config.schema import CorruptionConfig
from iisan_core.errors import RefusedError
from iisan_core.evaluation.metrics import summary
from iisan_core.evaluation.rank_table import SUBSETS, protocol_name
from iisan_core.evaluation.ranks import ranks_of
from iisan_core.experiments.leaderboard import seed_table
from iisan_core.experiments.study import Row, Study, rows_by_training, seeds_of
from iisan_core.experiments.tables import as_markdown, with_spread
from iisan_core.experiments.uncached import uncached_figures
from iisan_core.files import replacing, write_json, write_text
from iisan_core.model.inference import item_table
from iisan_core.model.recommender import RecommenderModel
from iisan_core.model.saving import load_model
from iisan_core.runs.run_folder import RunFolder
from iisan_core.training.corruption import corrupted
from iisan_core.training.device import choose_device
from iisan_core.training.inputs import RunInputs

Quality = dict[str, dict[str, float]]
"""Subset → metric → × 100."""


def qualities_under(run: RunFolder, damages: Sequence[Mapping[str, CorruptionConfig]]) -> list[Quality]:
    """Quality of a finished run were its items' states damaged at test time, for each of `damages`, one by one.

    Data, states and model are opened once. Raises `RefusedError` for a modality that the run does not read, and where
    states are dropped that the model has learned no stand-in for.
    """
    config = run.config()
    model = load_model(run.best)
    for damage in damages:
        _check_stand_ins(run, model, damage)
    inputs, device = RunInputs.open(config), choose_device(config.training.device)
    bank = inputs.states(device, where="memory" if device.type == "cpu" else "device")
    model = model.to(device)
    found = []
    for damage in damages:
        table = item_table(model, corrupted(bank, damage), precision=config.training.precision)
        found.append({subset: summary(ranks_of(model, table, inputs.split, subset)) for subset in SUBSETS})
    return found


def _check_stand_ins(run: RunFolder, model: RecommenderModel, damage: Mapping[str, CorruptionConfig]) -> None:
    for name, what in damage.items():
        if what.kind == "dropped" and name not in model.shape.gaps:
            raise RefusedError(
                f"run {run.name} has learned nothing to stand in for a missing {name}; train it with "
                "model.modality_dropout above 0"
            )


TABLE, ABOUT = "table.parquet", "study.json"


def read_table(folder: Path) -> pl.DataFrame:
    """The table of a finished study; raises `RefusedError` where there is none, or it is no study's."""
    if not (folder / TABLE).is_file():
        raise RefusedError(f"no finished study in {folder}: it has no {TABLE}; run it with `iisan study`")
    try:
        table = pl.read_parquet(folder / TABLE)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RefusedError(f"the table of study {folder.name} cannot be read ({error}); run the study again") from None
    if "row" not in table.columns or not any(c.startswith("test_") for c in table.columns):
        raise RefusedError(f"{folder / TABLE} is no study's table: it has {table.columns}; run the study again")
    return table


METRICS = ("HR@10", "NDCG@10")

COSTS = ("best_epoch", "seconds_per_epoch")

WHOLE_COSTS = ("trainable_parameters", "peak_memory_bytes")


def study_table(study: Study, folder: Path, *, seeds: Sequence[int]) -> pl.DataFrame:
    """Rows in the study's order: name, facts, quality × 100 with `…_deviation`, costs (means over seeds).

    Raises `RefusedError` where a run has not finished.
    """
    lines: dict[int, dict[str, Any]] = {}
    for name, numbers in rows_by_training(study).items():
        rows = {number: study.rows[number] for number in numbers}
        lines |= _lines(rows, [folder / f"{name}-seed{s}" for s in seeds_of(study.rows[numbers[0]].config, seeds)])
    return pl.DataFrame([lines[number] for number in range(len(study.rows))], infer_schema_length=None)


def write_tables(
    study: Study, folder: Path, *, seeds: Sequence[int], left_out: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """Write the table as Parquet, CSV and Markdown, and what the study is about; returns the table.

    Rows that are `left_out`, by their names, stand with the reason in the latter alone.
    """
    left_out = left_out or {}
    measured = study.without(left_out)
    table = study_table(measured, folder, seeds=seeds)
    with replacing(folder / TABLE) as path:
        table.write_parquet(path)
    with replacing(folder / "table.csv") as path:
        table.write_csv(path)
    write_text(folder / "table.md", as_markdown(with_spread(table)))
    about = {"study": study.name, "question": study.question, "seeds": list(seeds), "left_out": dict(left_out)}
    write_json(folder / ABOUT, about | {"protocol": _protocol(measured, folder, seeds)})
    return table


def _protocol(study: Study, folder: Path, seeds: Sequence[int]) -> str:
    """In words; one for all rows."""
    name = next(name for name, row in study.trainings().items() if not row.uncached)
    return protocol_name(RunFolder.open(folder / f"{name}-seed{seeds[0]}").results(), subset="test", masked=True)


def _lines(rows: Mapping[int, Row], runs: Sequence[Path]) -> dict[int, dict[str, Any]]:
    """The lines of rows that share their runs, by number."""
    first = next(iter(rows.values()))
    measured = _uncached(runs) if first.uncached else _of_runs([RunFolder.open(run) for run in runs])
    under_damage = _under_damage(rows, runs)
    return {n: {"row": row.name, **row.facts, **measured, **under_damage.get(n, {})} for n, row in rows.items()}


def _of_runs(runs: Sequence[RunFolder]) -> dict[str, float | None]:
    (found,) = seed_table(runs, metrics=METRICS).iter_rows(named=True)
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


def _under_damage(rows: Mapping[int, Row], runs: Sequence[Path]) -> dict[int, dict[str, float | None]]:
    """Quality of the rows that are tested under damage, by number; each run is opened once for all of them."""
    damages = {number: row.tested_under for number, row in rows.items() if row.tested_under}
    if not damages:
        return {}
    of_runs = [qualities_under(RunFolder.open(run), list(damages.values())) for run in runs]
    return {number: _spread(list(found)) for number, found in zip(damages, zip(*of_runs, strict=True), strict=True)}


def _spread(found: Sequence[Quality]) -> dict[str, float | None]:
    """Mean and deviation of each metric over the seeds."""
    measured: dict[str, float | None] = {}
    for subset in SUBSETS:
        for metric in METRICS:
            values = [quality[subset][metric] for quality in found]
            measured[f"{subset}_{metric}"] = float(np.mean(values))
            measured[f"{subset}_{metric}_deviation"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return measured
