"""A job of the workspace as it goes: state, what it does, how far it is, its log, and the buttons that fit."""

from __future__ import annotations

import streamlit as st

from app.formats import count, plain, since
from app.jobs.listing import Listed, jobs_in
from app.jobs.process import start_again, stop_detached, stop_stages
from app.ui.layout import guarded, show_fault, state_badge, workspace
from iisan_core.errors import IisanError
from iisan_core.runs.job_folder import JobFolder
from iisan_core.runs.status import Status
from iisan_core.runs.workspace import Workspace

EVERY = 1.5
"""Seconds between two looks at a job at work."""
LOG_LINES = 12


def jobs_of(workspace: Workspace, verb: str) -> list[Listed]:
    """Jobs that call a verb of the shell, newest first; runs are none of them."""
    return [job for job in jobs_in(workspace) if not job.is_run and _calls(job.folder, verb)]


def _calls(folder: JobFolder, verb: str) -> bool:
    try:
        return folder.card().argv[:1] == (verb,)
    except IisanError:
        return False


def watch(folder: JobFolder, *, key: str) -> None:
    """Draw a job; while it is at work it is drawn anew every other second, and at its end the whole page is."""
    active = folder.status().active
    st.fragment(_draw, run_every=EVERY if active else None, key=key)(folder, key=key, was_active=active)


def _draw(folder: JobFolder, *, key: str, was_active: bool) -> None:
    with guarded(workspace().root):
        _draw_job(folder, folder.status(), key=key, was_active=was_active)


def _draw_job(folder: JobFolder, status: Status, *, key: str, was_active: bool) -> None:
    if was_active and not status.active:
        st.rerun()
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                state_badge(status.state)
                st.markdown(f"**{plain(folder.name)}**", width="content")
                if status.active and status.since:
                    st.caption(f"for {since(status.since)}", width="content")
            _buttons(folder, status, key=key)
        _progress(folder, status)
        if status.message:
            st.markdown(plain(status.message[:500]))
        draw_log(folder, status)


def _progress(folder: JobFolder, status: Status) -> None:
    if not status.active:
        return
    if status.steps and status.steps.total:
        done, total = status.steps.done, status.steps.total
        st.progress(min(done / total, 1.0), text=f"{plain(status.steps.doing)} · {done:,} of {total:,}")
    elif status.epochs:
        st.progress(min(status.epoch / status.epochs, 1.0), text=f"epoch {status.epoch} of {status.epochs}")
    else:
        st.caption("Waiting for its turn …" if status.state == "queued" else "Getting ready …")
    for stage in stop_stages(folder):
        st.caption(f":material/stop_circle: {plain(stage.sentence)}")


def _buttons(folder: JobFolder, status: Status, *, key: str) -> None:
    if status.active:
        if st.button("Stop", icon=":material/stop:", key=f"{key} stop", disabled=folder.stop_asked()):
            stop_detached(folder)
            st.rerun(scope="fragment")
    elif status.state != "finished" and st.button("Go on", icon=":material/play_arrow:", key=f"{key} resume"):
        go_on(folder)


def go_on(folder: JobFolder) -> None:
    """Start a job again and draw the page anew, or say why it cannot be."""
    try:
        start_again(folder)
    except IisanError as error:
        show_fault(error)
        return
    st.rerun()


def draw_log(folder: JobFolder, status: Status) -> None:
    """The end of a job's log, folded unless it has failed."""
    lines = [line.rpartition("\r")[2] for line in folder.log_tail(LOG_LINES)]
    if lines:
        with st.expander(f"Log · last {count(len(lines), 'line')}", expanded=status.state == "failed"):
            st.code("\n".join(lines), language=None)
