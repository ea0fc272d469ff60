"""The runs of a workspace, and which one the page shows."""

from __future__ import annotations

import streamlit as st

from app.jobs.listing import jobs_in, runs_in
from app.widgets.text import plain
from app.widgets.training_form import LIKE, NEW, RUN
from app.widgets.training_monitor import REFRESH_SECONDS, STATES
from iisan_core.errors import IisanError
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.status import Status
from iisan_core.runs.workspace import Workspace


def choose_run_or_new(workspace: Workspace) -> RunFolder | None:
    """The run to show, or none for the form; the choice stands in the address."""
    listed = {each.folder.name: each for each in runs_in(workspace)}
    names = [NEW, *listed]
    row = st.container(horizontal=True, vertical_alignment="center")
    name = row.selectbox(
        "Run",
        names,
        key=RUN,
        bind="query-params",
        label_visibility="collapsed",
        icon=":material/model_training:",
    )
    if name not in listed:
        st.fragment(_draw_at_work, run_every=2 * REFRESH_SECONDS)(workspace)
        return None
    row.button(NEW, icon=":material/add:", on_click=_show_form)
    chosen = listed[str(name)]
    if chosen.problem or not isinstance(chosen.folder, RunFolder):
        raise IisanError(f"run {name} cannot be shown: {chosen.problem}")
    chosen.folder.config()  # of another version, it could be neither resumed nor copied: a sentence says so
    return chosen.folder


def _show_form() -> None:
    st.session_state[RUN] = NEW
    st.query_params.pop(LIKE, None)


def _draw_at_work(workspace: Workspace) -> None:
    """What is at work, or waits, at the moment."""
    active = [each for each in jobs_in(workspace) if each.active and each.status]
    for each in active:
        assert each.status is not None
        label, icon, colour = STATES[each.status.state]
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(label, icon=icon, color=colour)  # type: ignore[arg-type]
            st.markdown(f"**{plain(each.folder.name)}**", width="content")
            st.caption(plain(each.status.message or _how_far(each.status)))


def _how_far(status: Status) -> str:
    if status.epochs:
        return f"epoch {status.epoch} of {status.epochs}"
    return f"{status.steps.doing}: {status.steps.done} of {status.steps.total}" if status.steps else ""
