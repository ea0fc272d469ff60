"""One run in full: how it stands and what can be done with it, its curves, what it took of the machine, its log, its
settings and files, and what it belongs to.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.charts.machine import load_chart, memory_chart
from app.charts.runs import epoch_table, loss_chart, quality_chart, smoothed
from app.formats import plain
from app.jobs.machine_log import samples
from app.ui.choices import choose_view
from app.ui.handling import draw_labels, menu_of
from app.ui.layout import draw_charts, theme
from app.ui.monitor import EVERY
from app.ui.readers import read_run
from app.ui.run_files import draw_files, draw_links, draw_log, draw_settings
from app.ui.train_monitor import draw_figures, draw_lists, draw_state, renewed
from iisan_core.errors import IisanError
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import Workspace

CURVES, MACHINE, LOG, SETTINGS, FILES = "Curves", "Machine", "Log", "Settings", "Files"
LOOK = {"height": 320}


def draw_run(workspace: Workspace, path: Path) -> None:
    """Draw a run; while it is at work, the drawing renews itself."""
    run = RunFolder.open(path)
    try:
        run.config()  # of another version, it could be neither resumed nor copied: a sentence says so
        active = run.status().active
    except IisanError as error:
        menu_of(workspace, path, "run")
        raise IisanError(f"run {path.name} cannot be shown: {error}") from None
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(width="content", gap="xsmall"):
            st.subheader(plain(run.name), anchor=False)
            draw_labels(path)
        menu_of(workspace, path, "run")
    if problem := read_run(path).problem:  # damaged, or of another version: what is known is shown all the same
        st.warning(plain(problem), icon=":material/error:")
    st.fragment(draw_state, run_every=EVERY if active else None)(run, active)
    draw_links(workspace, run)
    view = choose_view([CURVES, MACHINE, LOG, SETTINGS, FILES], key="part")
    if view == CURVES:
        _draw_curves(run, active)
    elif view == MACHINE:
        st.fragment(_draw_machine, run_every=3 * EVERY if active else None)(run, active)
    elif view == LOG:
        draw_log(run, active=active)
    elif view == SETTINGS:
        draw_settings(run)
    else:
        draw_files(run)


def _draw_curves(run: RunFolder, active: bool) -> None:
    st.fragment(_renewed_figures, run_every=EVERY if active else None)(run, active)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        weight = st.slider(
            "Smoothing", 0.0, 0.95, 0.0, 0.05, key="smoothing", width=220, persist_state="session",
            help="What an epoch's point keeps of the epochs before it.",
        )  # fmt: skip
        log = st.toggle("Loss on a log axis", key="log axis", persist_state="session")
    st.fragment(_renewed_curves, run_every=EVERY if active else None)(run, active, weight, log)
    if (run.path / "results.json").is_file():
        draw_lists(run)


def _renewed_figures(run: RunFolder, was_active: bool) -> None:
    with renewed(run, was_active) as status:
        draw_figures(run, status, epoch_table(run.events()))


def _renewed_curves(run: RunFolder, was_active: bool, weight: float, log: bool) -> None:
    with renewed(run, was_active):
        table = epoch_table(run.events())
        if not table.height:
            st.caption("Curves begin with the first finished epoch.")
        else:
            curves = {run.name: smoothed(table, weight)}
            said = f", smoothed by {weight:.2f}" if weight else ""
            charts = {
                f"quality of {run.name}": quality_chart(curves, title=f"Validation HR@10 (× 100){said}", theme=theme()),
                f"loss of {run.name}": loss_chart(curves, title=f"Training loss{said}", log=log, theme=theme()),
            }
            draw_charts(charts, look=LOOK, gap="small")
        for path, what in ((run.log, "Log"), (run.output, "Output")):
            if path.is_file() and (lines := run.log_tail(6, of=path)):
                st.caption(f"{what}, its last lines")
                st.code("\n".join(lines), language=None, wrap_lines=True)
                break


def _draw_machine(run: RunFolder, was_active: bool) -> None:
    with renewed(run, was_active):
        found = samples(run)
        if not found:
            st.info(
                "Nothing was noted of the machine: the run was trained before that was kept, ended within a second, or "
                "not by `iisan train`.",
                icon=":material/memory:",
            )
            return
        charts = {
            f"memory of {run.name}": memory_chart(found, title="Memory", theme=theme()),
            f"load of {run.name}": load_chart(found, title="Load", theme=theme()),
        }
        draw_charts(charts, look=LOOK, gap="small")
