"""A job of the workspace as it goes: state, what it does, how far it is, its log, and the buttons that fit."""

from __future__ import annotations

import time

import streamlit as st

from app.formats import count, duration, plain
from app.ui.layout import guarded, show_fault, workspace
from iisan_core.errors import IisanError
from iisan_core.job_folder import JobFolder
from iisan_core.jobs import Listed, jobs_in, start_again, stop_detached, stop_stages
from iisan_core.run_folder import RunFolder
from iisan_core.status import Status
from iisan_core.workspace import Workspace

STATES = {
    "queued": ("gray", ":material/hourglass_top:"),
    "starting": ("blue", ":material/rocket_launch:"),
    "running": ("blue", ":material/play_circle:"),
    "finished": ("green", ":material/check_circle:"),
    "stopped": ("orange", ":material/stop_circle:"),
    "failed": ("red", ":material/error:"),
    "interrupted": ("orange", ":material/power_off:"),
    "broken": ("red", ":material/heart_broken:"),
}
"""State → colour and icon, on every page."""
EVERY = 1.5
"""Seconds between two looks at a job at work."""
LOG_LINES = 12


def state_badge(state: str) -> None:
    """A job's state as a coloured badge."""
    colour, icon = STATES[state]
    st.badge(state, color=colour, icon=icon)  # type: ignore[arg-type]


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
                    st.caption(f"for {duration(max(time.time() - status.since, 1))}", width="content")
            _buttons(folder, status, key=key)
        _progress(folder, status)
        if status.message:
            st.markdown(plain(status.message[:500]))
        _log(folder, status)


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
        try:
            start_again(folder)
        except IisanError as error:
            show_fault(error)
            return
        st.rerun()


def _log(folder: JobFolder, status: Status) -> None:
    lines = [line.rpartition("\r")[2] for line in folder.log_tail(LOG_LINES)]
    if lines:
        with st.expander(f"Log · last {count(len(lines), 'line')}", expanded=status.state == "failed"):
            st.code("\n".join(lines), language=None)


def title_of_job(listed: Listed) -> str:
    """What a job does, in a word or two."""
    if isinstance(listed.folder, RunFolder):
        return f"train {listed.folder.name}"
    return listed.folder.command().removeprefix("iisan ")[:60] or listed.folder.name
