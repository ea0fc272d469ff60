"""What one can do with a run: stop it, with every step of it shown; resume it; make another one like it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.jobs.process import start_again, stop_detached, stop_stages
from app.widgets.text import plain
from app.widgets.training_form import LIKE, NEW, RUN
from iisan_core.errors import IisanError
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.status import Status
from iisan_core.runs.workspace import Workspace

RESUMABLE = ("stopped", "interrupted", "failed")
FAULT = "action_fault"


def draw_actions(run: RunFolder, status: Status) -> None:
    """The buttons that make sense in this state."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if status.active:
            st.button(
                "Stop",
                icon=":material/stop_circle:",
                on_click=_tried,
                args=(stop_detached, run),
                disabled=bool(stop_stages(run)),
                help="The last finished epoch is kept; resume goes on from there.",
            )
        if status.state in RESUMABLE:
            st.button(
                "Resume",
                icon=":material/play_arrow:",
                type="primary",
                on_click=_tried,
                args=(start_again, run),
                help=f"Goes on after epoch {status.epoch}." if status.epoch else "Starts at the beginning.",
            )
        if st.button("New run from this run", icon=":material/content_copy:"):
            st.session_state["new_like"] = run.name
            st.rerun(scope="app")
    if fault := st.session_state.pop(FAULT, ""):
        st.error(plain(fault), icon=":material/error:")


def follow_new_like(workspace: Workspace) -> None:
    """Go to the form with the settings of a run, if that was asked for; to be called before anything is chosen."""
    if not (name := st.session_state.pop("new_like", "")):
        return
    st.session_state[RUN] = NEW
    st.query_params[LIKE] = name
    dataset = RunFolder(workspace.runs / name).config().dataset
    if (workspace.datasets / dataset.name).is_dir():
        st.session_state["dataset"] = dataset.name


def draw_stages(run: RunFolder, status: Status) -> None:
    """How far the stopping of an active run has come."""
    stages = stop_stages(run) if status.active else []
    if not stages:
        return
    with st.container(border=True, gap="small"):
        st.markdown(":material/progress_activity: **Stopping …**")
        for stage in stages:
            st.markdown(f"{plain(stage.sentence[:1].upper() + stage.sentence[1:])} _({stage.seconds:.0f} s)_")


def _tried(act: Callable[[RunFolder], object], run: RunFolder) -> None:
    """Do something with a run; a refusal is shown at the buttons."""
    try:
        act(run)
    except (IisanError, OSError) as error:
        st.session_state[FAULT] = str(error)
