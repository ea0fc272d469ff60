"""The runs of a workspace, and which one the page shows."""

from __future__ import annotations

import streamlit as st

from app.widgets.text import plain
from app.widgets.training_form import RUN
from app.widgets.training_monitor import REFRESH_SECONDS, STATES
from iisan_core.errors import IisanError
from iisan_core.jobs import Listed, jobs_in, runs_in
from iisan_core.run_folder import RunFolder
from iisan_core.workspace import Workspace

NEW = ""


def choose_run_or_new(workspace: Workspace) -> RunFolder | None:
    """The run to show, or none for the form; the choice stands in the address."""
    listed = {each.folder.name: each for each in runs_in(workspace)}
    names = [NEW, *listed]
    name = st.selectbox(
        "Run",
        names,
        format_func=lambda name: _said(listed.get(name)),
        key=RUN,
        bind="query-params",
        label_visibility="collapsed",
    )
    if name not in listed:
        st.fragment(_draw_at_work, run_every=2 * REFRESH_SECONDS)(workspace)
        return None
    chosen = listed[str(name)]
    if chosen.problem or not isinstance(chosen.folder, RunFolder):
        raise IisanError(f"run {name} cannot be shown: {chosen.problem}")
    return chosen.folder


def _said(listed: Listed | None) -> str:
    if listed is None:
        return "New run"
    if listed.status is None:
        return f"{listed.folder.name} – broken"
    status = listed.status
    far = f", epoch {status.epoch} of {status.epochs}" if status.active and status.epochs else ""
    return f"{listed.folder.name} – {STATES[status.state][0].lower()}{far}"


def _draw_at_work(workspace: Workspace) -> None:
    """What is at work, or waits, at the moment."""
    active = [each for each in jobs_in(workspace) if each.active and each.status]
    for each in active:
        assert each.status is not None
        label, icon, colour = STATES[each.status.state]
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(label, icon=icon, color=colour)  # type: ignore[arg-type]
            st.markdown(f"**{plain(each.folder.name)}**", width="content")
            st.caption(plain(each.status.message or _said(each).partition(" – ")[2]))
