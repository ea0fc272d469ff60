"""Runs: all of them in a table, one of them in full, all jobs, and the trash."""

from __future__ import annotations

import streamlit as st

from app.ui.choices import choose_view
from app.ui.frame import show_page
from app.ui.handling import draw_trash, in_trash
from app.ui.jobs_panel import draw_all_jobs
from app.ui.layout import empty_state, page_link
from app.ui.readers import folders, runs
from app.ui.run_page import draw_run
from app.ui.run_table import draw_run_table
from iisan_core.runs.workspace import Workspace

RUN = "run"
"""In the address: the run that the page shows; without it, the page shows all."""
ALL, JOBS, TRASH = "All runs", "Jobs", "Trash"


def draw(workspace: Workspace) -> None:
    """The page's body."""
    name = st.query_params.get(RUN, "")
    if name:
        _draw_one(workspace, name)
        return
    view = choose_view([ALL, JOBS, TRASH])
    if view == ALL:
        draw_run_table(workspace, runs(workspace))
    elif view == JOBS:
        draw_all_jobs(workspace)
    else:
        draw_trash(workspace)


def _draw_one(workspace: Workspace, name: str) -> None:
    page_link("runs", label="All runs", icon=":material/arrow_back:")
    if name not in {path.name for path in folders(workspace.runs, with_file="config.yaml")}:
        lost = " It lies in the trash, from which it can be put back." if in_trash(workspace, name, "run") else ""
        empty_state(
            f"There is no run called {name[:80]}",
            f"It may have been renamed or deleted.{lost} All runs are in the table.",
            icon=":material/search_off:",
            page="runs",
            **({"view": TRASH} if lost else {}),
        )
        return
    draw_run(workspace, workspace.runs / name)


show_page("Runs", draw, about="Every training: how it went, what came of it, and what to do with it.")
