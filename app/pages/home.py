"""Home: what is here, what to do next, and the demo world at one press of a button."""

from __future__ import annotations

import streamlit as st

from app.formats import count, size
from app.ui.frame import show_page
from app.ui.home import draw_datasets, draw_demo, draw_devices, draw_learning, draw_next, draw_runs
from app.ui.layout import facts
from app.ui.readers import cache_manifests, dataset_folders, runs
from iisan_core.runs.workspace import Workspace


def draw(workspace: Workspace) -> None:
    """The page's body."""
    datasets, caches, found = dataset_folders(workspace), cache_manifests(workspace), runs(workspace)
    draw_next(datasets, len(caches), found)
    draw_demo(workspace, found)
    left, right = st.columns([2, 1], gap="medium")
    with left:
        at_work = sum(run.active for run in found)
        on_disk = sum(cache.disk_bytes for cache in caches)
        facts(
            [
                ("Datasets", f"{len(datasets):,}", ""),
                ("Caches", f"{len(caches):,}", size(on_disk) if caches else ""),
                ("Runs", f"{len(found):,}", f"{count(at_work, 'run')} at work" if at_work else ""),
            ]
        )
        if found:
            draw_runs(found)
        if datasets:
            draw_datasets(datasets)
    with right:
        st.subheader("Devices", anchor=False)
        draw_devices()
        draw_learning(found)


show_page("IISAN Workbench", draw, about="Adapt frozen foundation models to sequential recommendation.")
