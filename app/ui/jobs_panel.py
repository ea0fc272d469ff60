"""What is at work, waits or has just ended, on every page: a button with a list, the tab's title, a notification."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app.formats import count, plain, since
from app.jobs.listing import Listed, glance
from app.jobs.process import stop_detached, stop_stages
from app.jobs.words import how_far, share_of, title_of
from app.keeping.labels import dismiss, labels_of
from app.ui.layout import guarded, page_link, state_badge, workspace
from app.ui.monitor import watch
from iisan_core.runs.job_folder import JobFolder
from iisan_core.runs.status import Status
from iisan_core.runs.workspace import Workspace

HERE = Path(__file__).parent
EVERY = 3.0
"""Seconds between two looks."""
JUST = 24 * 3600.0
"""Seconds for which something has just ended."""
SHOWN = 12
ORDER = {"running": 0, "starting": 1, "queued": 2}

_mount = st.components.v2.component(
    "iisan_jobs",
    html='<button class="ask" hidden></button>',
    css=(HERE / "jobs_panel.css").read_text(encoding="utf-8"),
    js=(HERE / "jobs_panel.js").read_text(encoding="utf-8"),
)


@st.fragment(run_every=EVERY)
def draw_panel() -> None:
    """The button that opens the list; it renews itself."""
    here = workspace()
    with guarded(here.root):
        found = recent(here)
        active = [job for job in found if job.active]
        ended = len(found) - len(active)
        said = f"Jobs · {len(active)}" if active else "Jobs"
        icon = ":material/progress_activity:" if active else ":material/checklist:"
        with st.popover(said, icon=icon, key="jobs panel", help=None if found else "Nothing is at work."):
            _draw(found[:SHOWN])
            with st.container(horizontal=True, vertical_alignment="center"):
                page_link("runs", label="All jobs", view="Jobs")
                if ended and st.button("Dismiss all that have ended", icon=":material/done_all:", key="dismiss all"):
                    for job in found:
                        if not job.active:
                            dismiss(job.folder.path)
                    st.rerun(scope="fragment")
            _mount(key="ask to notify", data={"ask": True})
        _mount(key="watch jobs", data=told(found), width=1, height=1)


def recent(here: Workspace) -> list[Listed]:
    """What is at work or waits, then what has ended lately and nobody has dismissed, the last first."""
    found = [job for job in glance(here) if job.active or _is_news(job)]
    return sorted(found, key=lambda job: (ORDER.get(job.status.state, 9) if job.status else 9, -_ended(job.status)))


def _is_news(job: Listed) -> bool:
    ended = _ended(job.status)
    return time.time() - ended < JUST and labels_of(job.folder.path).dismissed < ended


def _ended(status: Status | None) -> float:
    return max(status.since, status.heartbeat) if status else 0.0


def told(found: Sequence[Listed]) -> dict[str, Any]:
    """What the browser's program is told: it names the tab, and says when something ended."""
    active = [job for job in found if job.active and job.status]
    shares = [share for job in active if job.status and (share := share_of(job.status)) is not None]
    return {
        "ask": False,
        "active": [_key(job) for job in active],
        "share": round(100 * sum(shares) / len(shares)) if shares else None,
        "ended": [
            {"id": _key(job), "said": title_of(job), "state": job.status.state}
            for job in found
            if job.status and not job.active
        ],
    }


def _key(job: Listed) -> str:
    return f"{job.folder.path.parent.name}/{job.folder.name}"


def _draw(found: Sequence[Listed]) -> None:
    if not found:
        st.caption("Nothing is at work, and nothing has ended lately.")
    for job in found:
        assert job.status is not None, "only such are recent"
        with st.container(border=True, gap="xsmall"):
            _draw_one(job, job.status)


def _draw_one(job: Listed, status: Status) -> None:
    key = f"panel {_key(job)}"
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            state_badge(status.state)
            if job.is_run:
                page_link("runs", label=plain(title_of(job)), run=job.folder.name)
            else:
                st.markdown(plain(title_of(job)))
        if status.active:
            asked = job.folder.stop_asked()
            if st.button("Stop", icon=":material/stop_circle:", key=f"{key} stop", disabled=asked, type="tertiary"):
                stop_detached(job.folder)
                st.rerun(scope="fragment")
        elif st.button("Dismiss", icon=":material/close:", key=f"{key} dismiss", type="tertiary"):
            dismiss(job.folder.path)
            st.rerun(scope="fragment")
    if status.active:
        share = share_of(status)
        if share is not None:
            st.progress(share, text=plain(how_far(status)))
        else:
            st.caption(plain(how_far(status)))
        for stage in stop_stages(job.folder)[-1:]:
            st.caption(f":material/stop_circle: {plain(stage.sentence)}")
    else:
        reason = f" · {plain(status.message[:200])}" if status.message else ""
        st.caption(f"{since(_ended(status))} ago{reason}")


def draw_all_jobs(here: Workspace) -> None:
    """The history: every job that is no run, newest first, each with its log; runs have a table of their own."""
    jobs = sorted((job for job in glance(here) if not job.is_run), key=lambda job: -_ended(job.status))
    if not jobs:
        st.info("No extraction, study or other job yet. Runs stand in their own table.", icon=":material/checklist:")
        return
    st.caption(f"{count(len(jobs), 'job')}, the last first · runs stand in their own table")
    page = st.pagination(-(-len(jobs) // SHOWN), key="page of jobs") if len(jobs) > SHOWN else 1
    for job in jobs[(page - 1) * SHOWN : page * SHOWN]:
        st.markdown(f"**{plain(title_of(job))}**")
        watch(JobFolder(job.folder.path), key=f"history {job.folder.name}")
