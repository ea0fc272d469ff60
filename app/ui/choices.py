"""Choosers that pages share; what is chosen stands in the address, so a reload or a copied link finds it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from app.ui.layout import empty_state
from app.ui.readers import RunFacts, dataset_folders, runs
from iisan_core.runs.workspace import Workspace


def choose_view(views: Sequence[str], *, key: str = "view") -> str:
    """One of the page's views; only the chosen one is drawn."""
    chosen = st.segmented_control(
        "View", views, default=views[0], required=True, key=key, bind="query-params", label_visibility="collapsed"
    )
    return str(chosen or views[0])


def choose_dataset(workspace: Workspace) -> Path | None:
    """A dataset folder; where there is none, says what to do and returns None."""
    names = [folder.name for folder in dataset_folders(workspace)]
    if not names:
        no_dataset()
        return None
    name = st.selectbox(
        "Dataset", names, key="dataset", bind="query-params", label_visibility="collapsed", icon=":material/database:"
    )
    return workspace.datasets / name


def no_dataset() -> None:
    """What to do where there is no dataset."""
    empty_state(
        "No dataset yet",
        "Import your own on the Data page, or make the demo world on the Home page: a shop with pictures.",
        icon=":material/database:",
        page="home",
    )


def choose_run(finished: Sequence[RunFacts], *, label: str, key: str) -> RunFacts:
    """One of the finished runs."""
    by_name = {run.name: run for run in finished}
    name = st.selectbox(label, list(by_name), key=key, bind="query-params", icon=":material/model_training:")
    return by_name[name]


def finished_runs(workspace: Workspace) -> list[RunFacts]:
    """Runs to recommend with or to compare; where there is none, says what to do."""
    found = [run for run in runs(workspace) if run.usable]
    if not found:
        empty_state(
            "No finished run yet",
            "Train one on the Train page, or make the demo world on the Home page: it trains, too.",
            icon=":material/model_training:",
            page="home",
        )
    return found
