"""The demo world: one button that makes a shop and trains on it, and its progress."""

from __future__ import annotations

import streamlit as st

from app.jobs.process import start
from app.widgets.job_monitor import jobs_of, watch
from app.widgets.text import plain
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import Workspace

RUN = "demo"


def draw_demo(workspace: Workspace, *, there: bool) -> None:
    """The offer to make the demo world; while that goes on, how far it is.

    there  whether its run is finished already, so that nothing is to be offered
    """
    jobs = jobs_of(workspace, "demo")
    newest = jobs[0] if jobs else None
    if newest and newest.status and (newest.active or newest.status.state != "finished"):
        st.subheader("Demo world", anchor=False)
        _draw_run(workspace)
        watch(newest.folder, key="demo job")
    elif not there:
        _offer(workspace)


def _offer(workspace: Workspace) -> None:
    with st.container(border=True):
        st.markdown("### :material/storefront: Start with the demo world")
        st.markdown(
            "A shop of 1,800 items with drawn pictures and titles, and 5,000 users whose tastes are known. It trains "
            "two small backbones, caches their states, trains IISAN and measures it: about two minutes on two cores."
        )
        if st.button("Make the demo world and train on it", type="primary", icon=":material/play_arrow:"):
            start(["demo"], workspace=workspace, device="auto")
            st.rerun()


def _draw_run(workspace: Workspace) -> None:
    run = RunFolder(workspace.runs / RUN)
    if (run.path / "config.yaml").is_file():
        st.caption(f"It trains the run {plain(run.name)}, which has its curves on the Train page.")
