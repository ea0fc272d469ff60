"""Train: one run, a study or a search, and the presets that they start from."""

from __future__ import annotations

import streamlit as st

from app.ui.choices import choose_view
from app.ui.frame import show_page
from app.ui.layout import leave_for
from app.ui.presets import draw_presets
from app.ui.study_form import study_form
from app.ui.train_form import RUN, training_form
from iisan_core.runs.workspace import Workspace

RUN_VIEW, STUDY, PRESETS = "One run", "Study or search", "Presets"


def draw(workspace: Workspace) -> None:
    """The page's body."""
    if name := st.session_state.pop(RUN, "") or st.query_params.get(RUN, ""):
        leave_for("runs", run=name)  # it has just been started, or stands in an address of before
    view = choose_view([RUN_VIEW, STUDY, PRESETS])
    if view == RUN_VIEW:
        training_form(workspace)
    elif view == STUDY:
        study_form(workspace)
    else:
        draw_presets()


show_page("Train", draw, about="Train side networks on cached states; every run goes on without this page.")
