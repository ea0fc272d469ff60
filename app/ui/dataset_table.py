"""All datasets in one table: searched, sorted, with what they hold, how far they have come, and what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl
import streamlit as st

from app.formats import count
from app.ui.choices import no_dataset
from app.ui.handling import buttons_of
from app.ui.layout import leave_for
from app.ui.named_table import draw_named, say_how
from app.ui.next_step import World, step_of, world_of
from app.ui.readers import DatasetFacts, cache_manifests, datasets, runs
from iisan_core.runs.workspace import Workspace

COLUMNS: dict[str, Any] = {
    "dataset": pl.String,
    "items": pl.Int64,
    "users": pl.Int64,
    "interactions": pl.Int64,
    "caches": pl.Int64,
    "runs": pl.Int64,
    "best valid HR@10": pl.Float64,
    "next": pl.String,
    "tags": pl.List(pl.String),
    "note": pl.String,
    "changed": pl.Datetime("us"),
}


def draw_dataset_table(workspace: Workspace) -> None:
    """A search, the table, and the buttons for the rows that are chosen."""
    every = datasets(workspace)
    if not every:
        no_dataset()
        return
    left, right = st.columns([4, 1], vertical_alignment="center")
    words = left.text_input(
        "Search datasets", key="find dataset", icon=":material/search:", placeholder="name, tag, note …",
        label_visibility="collapsed",
    )  # fmt: skip
    archived = right.toggle("Archived ones, too", key="archived datasets")
    found = [each for each in every if (archived or not each.labels.archived) and _holds(each, words or "")]
    bar = st.container(horizontal=True, vertical_alignment="center")
    if not found:
        st.info("No dataset meets this. Shorten the search.", icon=":material/search_off:")
        return
    chosen = _draw(workspace, found)
    with bar:
        _draw_actions(workspace, [found[row] for row in chosen if row < len(found)], len(found), len(every))


def _holds(facts: DatasetFacts, words: str) -> bool:
    text = " ".join([facts.name, *facts.labels.tags, facts.labels.note]).lower()
    return all(word in text for word in words.lower().split())


def table_of_datasets(workspace: Workspace, found: Sequence[DatasetFacts]) -> pl.DataFrame:
    """A row per dataset: what its card counts, its caches and runs, and what comes next."""
    world = world_of(workspace, caches=cache_manifests(workspace), runs=runs(workspace))
    return pl.DataFrame([_row(each, world) for each in found], schema=COLUMNS)


def _row(facts: DatasetFacts, world: World) -> dict[str, Any]:
    counts: Mapping[str, int] = facts.card.counts if facts.card else {}
    trained = world.runs_of(facts.folder)
    return {
        "dataset": facts.name,
        **{name: counts.get(name) for name in ("items", "users", "interactions")},
        "caches": len(world.caches_of(facts.folder)),
        "runs": len(trained),
        "best valid HR@10": max((run.reached() or 0.0 for run in trained if run.usable), default=None),
        "next": step_of(facts, world).label,
        "tags": list(facts.labels.tags),
        "note": facts.labels.note if facts.card else facts.problem,
        "changed": datetime.fromtimestamp(facts.touched),
    }


def _draw(workspace: Workspace, found: Sequence[DatasetFacts]) -> list[int]:
    return draw_named(
        table_of_datasets(workspace, found),
        "dataset",
        page="data",
        width=190,
        config={
            "changed": st.column_config.DatetimeColumn("changed", format="distance"),
            "best valid HR@10": st.column_config.NumberColumn("best valid HR@10", format="%.2f"),
            **{n: st.column_config.NumberColumn(n, format="localized") for n in ("items", "users", "interactions")},
        },
        alt="All datasets with what they hold and what comes next",
    )


def _draw_actions(workspace: Workspace, chosen: Sequence[DatasetFacts], shown: int, total: int) -> None:
    if not chosen:
        say_how("dataset", shown=shown, total=total)
        return
    folders = [each.folder for each in chosen]
    st.markdown(f"**{count(len(chosen), 'dataset')}**", width="content")
    if len(chosen) == 1 and st.button("Open", type="primary", icon=":material/open_in_full:"):
        leave_for("data", dataset=chosen[0].name)
    buttons_of(workspace, folders, "dataset", archived=all(each.labels.archived for each in chosen))
