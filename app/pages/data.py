"""Data: choose or import a dataset, check it, see its statistics, leaf through its items and users."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.formats import plain
from app.ui.choices import choose_dataset, choose_view, no_dataset
from app.ui.dataset import browse_items, browse_users, draw_checks, draw_overview
from app.ui.dataset_table import draw_dataset_table
from app.ui.frame import show_page
from app.ui.handling import draw_labels, menu_of
from app.ui.importing import import_form, take_up_imported
from app.ui.next_step import IMPORT
from app.ui.readers import dataset_folders, read_dataset
from iisan_core.runs.workspace import Workspace

VIEWS = {"Overview": draw_overview, "Items": browse_items, "Users": browse_users, "Checks": draw_checks}
ALL = "All datasets"


def draw(workspace: Workspace) -> None:
    """The page's body."""
    take_up_imported(_show_imported)
    with st.container(horizontal=True, vertical_alignment="center"):
        view = choose_view([*VIEWS, ALL, IMPORT])
        chooser = st.container(width=260)
        menu = st.container(width="content")
    if view == IMPORT:
        import_form(workspace)
    elif view == ALL:
        draw_dataset_table(workspace)
    elif not dataset_folders(workspace):
        no_dataset()
    else:
        with chooser:
            folder = choose_dataset(workspace)
        if folder is not None:
            with menu:
                menu_of(workspace, folder, "dataset")
            draw_labels(folder)
            _draw_dataset(folder, view)


def _show_imported(name: str) -> None:
    st.session_state["view"], st.session_state["dataset"] = "Overview", name
    st.toast(f"Imported {plain(name)}.", icon=":material/check_circle:")


def _draw_dataset(folder: Path, view: str) -> None:
    VIEWS[view](read_dataset(folder))


show_page("Data", draw, about="Choose or import a dataset, check it, and look at its items and users.")
