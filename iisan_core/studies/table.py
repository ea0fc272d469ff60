"""A study's outcome: one line per row, mean and deviation over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from iisan_core.comparison import as_markdown, seed_table, with_spread
from iisan_core.files import replacing, write_json, write_text
from iisan_core.run_folder import RunFolder
from iisan_core.studies.damage_tests import quality_under
from iisan_core.studies.study import Row, Study, seeds_of
from iisan_core.study_folder import ABOUT, TABLE

METRICS = ("HR@10", "NDCG@10")


def study_table(study: Study, folder: Path, *, seeds: Sequence[int]) -> pl.DataFrame:
    """Rows in the study's order: name, facts, quality × 100 with `…_deviation`, costs (means over seeds).

    Raises `RefusedError` where a run has not finished.
    """
    return pl.DataFrame([_line(study, row, folder, seeds) for row in study.rows], infer_schema_length=None)


def write_tables(study: Study, folder: Path, *, seeds: Sequence[int]) -> pl.DataFrame:
    """Write the table as Parquet, CSV and Markdown, and what the study is about; returns the table."""
    table = study_table(study, folder, seeds=seeds)
    with replacing(folder / TABLE) as path:
        table.write_parquet(path)
    with replacing(folder / "table.csv") as path:
        table.write_csv(path)
    write_text(folder / "table.md", as_markdown(with_spread(table)))
    write_json(folder / ABOUT, {"study": study.name, "question": study.question, "seeds": list(seeds)})
    return table


def _line(study: Study, row: Row, folder: Path, seeds: Sequence[int]) -> dict[str, Any]:
    name = study.trained_as(row)
    runs = [RunFolder.open(folder / f"{name}-seed{seed}") for seed in seeds_of(row.config, seeds)]
    (found,) = seed_table(runs, metrics=METRICS).iter_rows(named=True)
    measured = {column: found[column] for column in found if column.startswith(("valid_", "test_"))}
    if row.tested_under:
        measured = _under_damage(row, runs)
    costs = {cost: found[cost] for cost in ("runs", "best_epoch", "seconds_per_epoch")}
    whole = {cost: round(found[cost] or 0) for cost in ("trainable_parameters", "peak_memory_bytes")}
    return {"row": row.name, **row.facts, **measured, **costs, **whole}


def _under_damage(row: Row, runs: Sequence[RunFolder]) -> dict[str, float | None]:
    quality = [quality_under(run, row.tested_under) for run in runs]
    measured: dict[str, float | None] = {}
    for part in ("valid", "test"):
        for metric in METRICS:
            values = [found[part][metric] for found in quality]
            measured[f"{part}_{metric}"] = float(np.mean(values))
            measured[f"{part}_{metric}_deviation"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return measured
