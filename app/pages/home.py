"""Home: what is here and what goes on; where nothing is, the two ways to begin."""

from __future__ import annotations

import streamlit as st

from app.formats import count, size
from app.ui.demo_stages import draw_demo_stages
from app.ui.frame import show_page
from app.ui.home import (
    DEMO,
    demo_job,
    draw_beginning,
    draw_datasets,
    draw_devices,
    draw_learning,
    draw_runs,
    offer_demo,
)
from app.ui.layout import facts
from app.ui.readers import cache_manifests, datasets, runs
from iisan_core.runs.workspace import Workspace


def draw(workspace: Workspace) -> None:
    """The page's body."""
    every, caches, found = datasets(workspace), cache_manifests(workspace), runs(workspace)
    known, shown = [each for each in every if not each.labels.archived], [r for r in found if not r.labels.archived]
    job = demo_job(workspace)
    if job is not None:
        draw_demo_stages(job)
    elif not every:
        draw_beginning()
    left, right = st.columns([2, 1], gap="medium")
    with left:
        at_work = sum(run.active for run in found)
        on_disk = sum(cache.disk_bytes for cache in caches)
        facts(
            [
                ("Datasets", f"{len(every):,}", ""),
                ("Caches", f"{len(caches):,}", size(on_disk) if caches else ""),
                ("Runs", f"{len(found):,}", f"{count(at_work, 'run')} at work" if at_work else ""),
            ]
        )
        if shown:
            draw_runs(shown)
        if known:
            draw_datasets(known)
        if every and job is None and not any(run.name == DEMO and run.usable for run in found):
            offer_demo()
    with right:
        st.subheader("Devices", anchor=False)
        draw_devices()
        draw_learning(shown)


show_page("IISAN Workbench", draw, about="Adapt frozen foundation models to sequential recommendation.")
