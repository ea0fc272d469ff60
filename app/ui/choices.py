"""Choosers that pages share; what is chosen stands in the address, so a reload or a copied link finds it again.

What an address names and is not there is said; nothing else is shown in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from app.formats import plain
from app.ui.layout import empty_state
from app.ui.next_step import IMPORT
from app.ui.readers import RunFacts, best_first, dataset_folders, runs
from iisan_core.runs.workspace import Workspace

AT_HAND = "dataset at hand"
"""Key: name of the dataset that the visitor looked at last, on whatever page; the next page begins with it."""
MISSED = "missed in the address"


def choose_view(views: Sequence[str], *, key: str = "view") -> str:
    """One of the page's views; only the chosen one is drawn."""
    chosen = st.segmented_control(
        "View", views, default=views[0], required=True, key=key, bind="query-params", label_visibility="collapsed"
    )
    return str(chosen or views[0])


def choose_dataset(workspace: Workspace) -> Path | None:
    """A dataset folder; where there is none, or the address names one that is not there, says so and returns None."""
    names = [folder.name for folder in dataset_folders(workspace)]
    if not names:
        no_dataset()
        return None
    name = _choose(names, "dataset", what="dataset", first=st.session_state.get(AT_HAND, ""), label="Dataset")
    if name is None:
        return None
    st.session_state[AT_HAND] = name
    return workspace.datasets / name


def choose_run(finished: Sequence[RunFacts], *, label: str, key: str) -> RunFacts | None:
    """One of the finished runs, at first the best of the dataset at hand; None where the address names another."""
    of = st.session_state.get(AT_HAND, "")
    ordered = best_first([run for run in finished if run.dataset == of]) + [r for r in finished if r.dataset != of]
    by_name = {run.name: run for run in ordered}
    name = _choose(list(by_name), key, what="finished run", first=ordered[0].name, label=label)
    if name is None:
        return None
    st.session_state[AT_HAND] = by_name[name].dataset
    return by_name[name]


def _choose(names: Sequence[str], key: str, *, what: str, first: str, label: str) -> str | None:
    """One of the names, at first `first`; None while the address has named one that is not among them."""
    asked = st.query_params.get(key, "")
    missing = bool(asked) and asked not in names
    if missing:
        st.session_state[f"{MISSED}: {key}"] = asked
    elif not asked and key not in st.session_state and first in names:
        st.session_state[key] = first
    name = st.selectbox(
        label,
        names,
        index=None if missing else 0,
        key=key,
        bind="query-params",
        label_visibility="collapsed" if key == "dataset" else "visible",
        icon=":material/database:" if key == "dataset" else ":material/model_training:",
        placeholder=f"Choose a {what}",
    )
    if name in names:
        return str(name)
    said = st.session_state.get(f"{MISSED}: {key}", "")
    st.warning(f"There is no {what} called {plain(str(said)[:80])}. Choose another one.", icon=":material/search_off:")
    return None


def no_dataset() -> None:
    """What to do where there is no dataset."""
    empty_state(
        "No dataset yet",
        "Import your own, or make the demo world on the Home page: a shop with pictures.",
        icon=":material/database:",
        page="data",
        label="Import data",
        view=IMPORT,
    )


def finished_runs(workspace: Workspace) -> list[RunFacts]:
    """Runs to recommend with or to compare, the best first; where there is none, says what to do."""
    found = best_first([run for run in runs(workspace) if run.usable and not run.labels.archived])
    if not found:
        empty_state(
            "No finished run yet",
            "Train one on the Train page, or make the demo world on the Home page: it trains, too.",
            icon=":material/model_training:",
            page="home",
        )
    return found
