"""All runs in one table: searched, filtered, sorted, with chosen columns; and what is done with several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import polars as pl
import streamlit as st

from app.formats import count, size
from app.ui.compare import AT_FIRST
from app.ui.handling import buttons_of
from app.ui.layout import empty_state, leave_for
from app.ui.named_table import draw_named, say_how
from app.ui.readers import RunFacts
from iisan_core.runs.workspace import Workspace

NAME = "run"
COLUMNS: dict[str, Callable[[RunFacts], Any]] = {
    NAME: lambda run: run.name,
    "state": lambda run: run.state,
    "dataset": lambda run: run.dataset,
    "tags": lambda run: list(run.labels.tags),
    "test HR@10": lambda run: run.reached("HR@10", on="test"),
    "test NDCG@10": lambda run: run.reached("NDCG@10", on="test"),
    "valid HR@10": lambda run: run.reached("HR@10"),
    "epochs": lambda run: run.status.epoch if run.status else None,
    "last sign": lambda run: datetime.fromtimestamp(run.touched),
    "note": lambda run: run.labels.note,
    "recommender": lambda run: run.config.recommender if run.config else "",
    "reads": lambda run: ", ".join(run.config.caches) if run.config else "",
    "s per epoch": lambda run: _efficiency(run, "seconds_per_epoch"),
    "parameters": lambda run: _efficiency(run, "trainable_parameters"),
    "peak memory": lambda run: size(peak) if (peak := _efficiency(run, "peak_memory_bytes")) else "",
    "batch size": lambda run: run.config.training.batch_size if run.config else None,
    "learning rate": lambda run: run.config.training.learning_rate if run.config else None,
    "seed": lambda run: run.config.training.seed if run.config else None,
    "message": lambda run: run.problem or (run.status.message if run.status else ""),
}
"""Column → what a run has there."""
SHOWN_FIRST = ("state", "dataset", "tags", "test HR@10", "test NDCG@10", "epochs", "last sign", "note")
SCHEMA: dict[str, Any] = {
    **dict.fromkeys(COLUMNS, pl.String),
    **dict.fromkeys(("test HR@10", "test NDCG@10", "valid HR@10", "s per epoch", "learning rate"), pl.Float64),
    **dict.fromkeys(("epochs", "parameters", "batch size", "seed"), pl.Int64),
    "tags": pl.List(pl.String),
    "last sign": pl.Datetime("us"),
}


def _efficiency(run: RunFacts, name: str) -> Any:
    return (run.results or {}).get("efficiency", {}).get(name)


def table_of_runs(runs: Sequence[RunFacts]) -> pl.DataFrame:
    """A row per run, with all columns."""
    return pl.DataFrame([{name: of(run) for name, of in COLUMNS.items()} for run in runs], schema=SCHEMA)


def matching(
    runs: Sequence[RunFacts],
    *,
    words: str = "",
    datasets: Sequence[str] = (),
    states: Sequence[str] = (),
    tags: Sequence[str] = (),
    archived: bool = False,
) -> list[RunFacts]:
    """Runs that hold all words in name, dataset, tags, note or message, and are among what is chosen."""
    wanted = words.lower().split()
    return [
        run
        for run in runs
        if (archived or not run.labels.archived)
        and (not datasets or run.dataset in datasets)
        and (not states or run.state in states)
        and (not tags or set(tags) & set(run.labels.tags))
        and all(word in _text(run) for word in wanted)
    ]


def _text(run: RunFacts) -> str:
    message = run.problem or (run.status.message if run.status else "")
    return " ".join([run.name, run.dataset, *run.labels.tags, run.labels.note, message]).lower()


def draw_run_table(workspace: Workspace, runs: Sequence[RunFacts]) -> None:
    """Filters, the table, and the buttons for the rows that are chosen."""
    if not runs:
        empty_state(
            "No run yet",
            "Train one: it takes a dataset with cached states. The demo world on the Home page brings one along.",
            icon=":material/model_training:",
            page="train",
        )
        return
    found, columns = _filtered(runs)
    bar = st.container(horizontal=True, vertical_alignment="center")
    if not found:
        st.info("No run meets this. Shorten the search, or take a filter away.", icon=":material/search_off:")
        return
    chosen = _draw_table(found, columns)
    with bar:
        _draw_actions(workspace, [found[row] for row in chosen if row < len(found)], len(found), len(runs))


def _filtered(runs: Sequence[RunFacts]) -> tuple[list[RunFacts], list[str]]:
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    words = left.text_input(
        "Search",
        key="find",
        bind="query-params",
        icon=":material/search:",
        placeholder="name, dataset, tag, note …",
        label_visibility="collapsed",
    )
    with right, st.container(horizontal=True):
        with st.popover("Filter", icon=":material/filter_alt:"):
            datasets = st.multiselect("Dataset", sorted({run.dataset for run in runs} - {""}), key="of datasets")
            states = st.multiselect("State", sorted({run.state for run in runs}), key="in states")
            tags = st.multiselect("Tag", sorted({t for run in runs for t in run.labels.tags}), key="with tags")
            archived = st.toggle("Archived ones, too", key="archived")
        with st.popover("Columns", icon=":material/view_column:"):
            columns = st.multiselect(
                "Columns",
                [c for c in COLUMNS if c != NAME],
                default=SHOWN_FIRST,
                key="columns",
                persist_state="session",
            )
    kept = matching(runs, words=words or "", datasets=datasets, states=states, tags=tags, archived=archived)
    return kept, [NAME, *columns]


def _draw_table(found: Sequence[RunFacts], columns: Sequence[str]) -> list[int]:
    return draw_named(
        table_of_runs(found),
        "run",
        page="runs",
        width=210,
        columns=columns,
        config={
            "last sign": st.column_config.DatetimeColumn("last sign", format="distance"),
            **{name: _figure(name) for name in ("test HR@10", "test NDCG@10", "valid HR@10", "s per epoch")},
            "parameters": st.column_config.NumberColumn("parameters", format="compact"),
            "learning rate": st.column_config.NumberColumn("learning rate", format="%.2g"),
        },
        alt="All runs with their state, dataset and figures",
    )


def _figure(name: str) -> Any:
    return st.column_config.NumberColumn(name, format="%.2f")


def _draw_actions(workspace: Workspace, chosen: Sequence[RunFacts], shown: int, total: int) -> None:
    if not chosen:
        say_how("run", shown=shown, total=total)
        return
    folders = [run.run.path for run in chosen]
    st.markdown(f"**{count(len(chosen), 'run')}**", width="content")
    if len(chosen) == 1 and st.button("Open", type="primary", icon=":material/open_in_full:"):
        leave_for("runs", run=chosen[0].name)
    fit = [run for run in chosen if run.usable]
    if len(fit) > 1 and st.button("Compare", icon=":material/leaderboard:"):
        st.session_state[AT_FIRST] = [run.name for run in fit]
        leave_for("compare")
    buttons_of(workspace, folders, "run", archived=all(run.labels.archived for run in chosen))
