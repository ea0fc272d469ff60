"""Train: the form that starts a run, and what is at work meanwhile."""

from __future__ import annotations

import streamlit as st

from app.ui.frame import show_page
from app.ui.layout import leave_for
from app.ui.train_form import RUN, training_form
from iisan_core.runs.workspace import Workspace


def draw(workspace: Workspace) -> None:
    """The page's body."""
    if name := st.session_state.pop(RUN, "") or st.query_params.get(RUN, ""):
        leave_for("runs", run=name)  # it has just been started, or stands in an address of before
    training_form(workspace)


show_page("Train", draw, about="Train side networks on cached states; every run goes on without this page.")
