"""How the demo world is made: its four stages with their times, what moves in each, the curve of the last."""

from __future__ import annotations

import streamlit as st

from app.charts.runs import epoch_table, quality_chart
from app.formats import duration, plain
from app.jobs.process import stop_detached
from app.jobs.stages import Stage, stages_of
from app.jobs.words import how_far, share_of
from app.keeping.labels import dismiss
from app.ui.layout import draw_chart, guarded, leave_for, state_badge, theme, workspace
from app.ui.monitor import EVERY, draw_log, go_on
from iisan_core.runs.job_folder import JobFolder
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.status import Status

RUN = "demo"
"""The run that the last stage trains."""
SAID = {
    "data": ("A shop is drawn", "items with pictures and titles, users with tastes"),
    "backbones": ("Two small models learn", "one from the titles, one from the pictures"),
    "states": ("Hidden states are cached", "every item once through each frozen model"),
    "training": ("IISAN is trained and measured", "side networks on the cached states"),
}
"""Stage → what happens there, and on what."""
EMPTY = [Stage(name=name) for name in SAID]


def draw_demo_stages(folder: JobFolder) -> None:
    """Draw the stages; they renew themselves while the job is at work, and the page is drawn anew at its end."""
    active = folder.status().active
    st.fragment(_draw, run_every=EVERY if active else None, key="demo stages")(folder, active)


def _draw(folder: JobFolder, was_active: bool) -> None:
    with guarded(workspace().root):
        status = folder.status()
        if status.active != was_active:
            st.rerun()
        with st.container(border=True):
            _draw_head(folder, status)
            stages = stages_of(folder.path) or EMPTY
            for column, (number, stage) in zip(st.columns(len(stages)), enumerate(stages, start=1), strict=True):
                with column, st.container(border=True, height="stretch", gap="xsmall"):
                    _draw_stage(folder, status, number, stage)
            if stages[-1].began:
                _draw_curve()
            draw_log(folder, status)


def _draw_head(folder: JobFolder, status: Status) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            state_badge(status.state)
            st.markdown("**The demo world**", width="content")
        if status.active:
            if st.button("Stop", icon=":material/stop:", key="demo job stop", disabled=folder.stop_asked()):
                stop_detached(folder)
                st.rerun(scope="fragment")
        elif status.state == "finished":
            with st.container(horizontal=True, width="content"):
                if st.button("See what it recommends", type="primary", icon=":material/recommend:", key="demo done"):
                    leave_for("recommendations", run=RUN)
                if st.button("Dismiss", icon=":material/close:", type="tertiary", key="demo dismiss"):
                    dismiss(folder.path)
                    st.rerun()
        elif st.button("Go on", type="primary", icon=":material/play_arrow:", key="demo job resume"):
            go_on(folder)
    if status.message:
        st.markdown(plain(status.message[:500]))


def _draw_stage(folder: JobFolder, status: Status, number: int, stage: Stage) -> None:
    title, what = SAID.get(stage.name, (stage.name, ""))
    under_way = bool(stage.began) and not stage.ended
    icon = ":green[:material/check_circle:]" if stage.ended else ":gray[:material/radio_button_unchecked:]"
    if under_way:
        icon = ":blue[:material/progress_activity:]" if status.active else ":orange[:material/pause_circle:]"
    st.markdown(f"{icon} **{number} · {plain(title)}**")
    if stage.ended:
        st.caption(f"{plain(stage.result)} · {duration(stage.seconds)}")
    elif under_way and status.active:
        _draw_progress(_at_work(folder, status, stage), stage)
    else:
        st.caption(what)


def _at_work(folder: JobFolder, status: Status, stage: Stage) -> Status:
    """Whose counters move: the training's own in the last stage."""
    run = RunFolder(workspace().runs / RUN)
    if stage.name == "training" and (run.path / "config.yaml").is_file():
        return run.status()
    return status


def _draw_progress(status: Status, stage: Stage) -> None:
    share = share_of(status)
    if share is None or not status.active:
        st.caption(f"for {duration(max(stage.seconds, 1))}")
    else:
        st.progress(share, text=f"{plain(how_far(status))} · {duration(max(stage.seconds, 1))}")


def _draw_curve() -> None:
    run = RunFolder(workspace().runs / RUN)
    table = epoch_table(run.events()) if run.path.is_dir() else None
    if table is not None and table.height:
        chart = quality_chart({RUN: table}, title="Validation HR@10 (× 100), epoch by epoch", theme=theme())
        draw_chart(chart.update_layout(height=260), key="curve of the demo")
