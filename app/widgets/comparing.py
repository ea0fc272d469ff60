"""Tables and curves of runs, read once per change."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

import polars as pl
import streamlit as st

from app.charts.runs import epoch_table
from app.widgets.reading import RunFacts, Stamp, stamp
from app.widgets.text import chart_text
from iisan_core.errors import IisanError, RefusedError
from iisan_core.experiments.leaderboard import best_first, leaderboard, readable_runs
from iisan_core.experiments.tpme import tpme
from iisan_core.runs.evaluate import evaluate
from iisan_core.runs.run_folder import RunFolder

By: TypeAlias = Literal["popularity", "length", "repeat"]
RUN_FILES = ("config.yaml", "results.json", "ranks.parquet")


def fault_of(run: RunFacts) -> str | None:
    """Why a run cannot be compared; None where it can."""
    if run.problem:
        return run.problem
    return _fault(str(run.run.path), _changed(run.run)) if run.usable else run.message or f"it is {run.state}"


def table_of(runs: Sequence[RunFacts], *, metrics: Sequence[str]) -> pl.DataFrame:
    """The leaderboard with intervals and, where the runs can have it, TPME; the best first."""
    rows = [_row(str(run.run.path), _changed(run.run), tuple(metrics)) for run in runs]
    table = pl.concat(rows, how="vertical_relaxed")
    with suppress(RefusedError):  # one run, or runs of unlike datasets, batch sizes or devices have no such figure
        table = tpme(table)
    return best_first(table, f"test_{metrics[0]}")


def curves_of(runs: Sequence[RunFacts]) -> dict[str, pl.DataFrame]:
    """Finished epochs by the run's name, as a chart shows it."""
    return {chart_text(run.name): _epochs(str(run.run.path), stamp(run.run.path / "metrics.jsonl")) for run in runs}


def groups_of(runs: Sequence[RunFacts], *, by: By) -> tuple[pl.DataFrame, list[str]]:
    """Metrics by groups of users, one run after the other; and why some runs have none."""
    tables, faults = [pl.DataFrame()], []
    for run in runs:
        try:
            tables.append(_groups(str(run.run.path), _changed(run.run), by))
        except IisanError as error:
            faults.append(str(error))
    table = pl.concat(tables, how="diagonal_relaxed")
    return (table if table.is_empty() else with_chart_names(table)), faults


def with_chart_names(table: pl.DataFrame) -> pl.DataFrame:
    """The same table, its run names as a chart shows them as they are."""
    names = [name for name in ("run", "against") if name in table.columns]
    return table.with_columns(pl.col(*names).str.replace_many(["&", "<", ">"], ["&amp;", "&lt;", "&gt;"]))


def _changed(run: RunFolder) -> Stamp:
    return stamp(*(run.path / name for name in RUN_FILES))


@st.cache_resource(max_entries=500, show_spinner=False)
def _fault(path: str, changed: Stamp) -> str | None:
    return next(iter(readable_runs([path]).left_out.values()), None)


@st.cache_resource(max_entries=500, show_spinner=False)
def _row(path: str, changed: Stamp, metrics: tuple[str, ...]) -> pl.DataFrame:
    return leaderboard([RunFolder.open(path)], metrics=metrics, intervals=True)


@st.cache_resource(max_entries=200, show_spinner=False)
def _groups(path: str, changed: Stamp, by: By) -> pl.DataFrame:
    return evaluate(RunFolder.open(path), ks=(10,), by=by, intervals=True)


@st.cache_resource(max_entries=200, show_spinner=False)
def _epochs(path: str, changed: Stamp) -> pl.DataFrame:
    return epoch_table(RunFolder(Path(path)).events())
