"""The first page: what lies in the workspace, what to do next, the demo world, and what there is to compute on."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import psutil
import streamlit as st

from app.charts.runs import quality_chart
from app.formats import count, plain, since, size
from app.jobs.devices import Gpu, gpus
from app.jobs.process import start
from app.ui.cards import Card, item_cards
from app.ui.compare import curves_of
from app.ui.layout import draw_chart, guarded, page_link, state_badge, theme, workspace
from app.ui.monitor import jobs_of, watch
from app.ui.readers import RunFacts, popularity_of, read_dataset
from iisan_core.errors import IisanError
from iisan_core.runs.workspace import Workspace

PICTURES = 8
NEWEST = 6
DEMO = "demo"
"""The demo world's verb, and the run that it trains."""
EVERY = 5
"""Seconds between two looks at the devices."""
psutil.cpu_percent()  # the first answer is about nothing; the later ones are about the time since the one before


def draw_next(datasets: Sequence[Path], caches: int, runs: Sequence[RunFacts]) -> None:
    """The one thing to do next."""
    if any(run.usable for run in runs):
        what, page = "A trained run is here: look at what it recommends, and why.", "recommendations"
    elif any(run.active for run in runs):
        what, page = "A run is at work: watch its curves.", "train"
    elif caches:
        what, page = "Hidden states are cached: train a side network on them, in seconds per epoch.", "train"
    elif datasets:
        what, page = "A dataset is here: let every item pass once through the backbones of your choice.", "backbones"
    else:
        what, page = "Have data of your own? Import it, or start with the demo world below.", "data"
    with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f":material/arrow_forward: **Next** · {what}", width="content")
        page_link(page)


def draw_demo(workspace: Workspace, runs: Sequence[RunFacts]) -> None:
    """The offer to make the demo world and train on it, unless that is done; while it goes on, how far it is."""
    jobs = jobs_of(workspace, DEMO)
    newest = jobs[0] if jobs else None
    if newest and newest.status and (newest.active or newest.status.state != "finished"):
        st.subheader("Demo world", anchor=False)
        if (workspace.runs / DEMO / "config.yaml").is_file():
            st.caption(f"It trains the run {DEMO}, which has its curves on the Train page.")
        watch(newest.folder, key="demo job")
    elif not any(run.name == DEMO and run.usable for run in runs):
        _offer_demo(workspace)


def _offer_demo(workspace: Workspace) -> None:
    with st.container(border=True):
        st.markdown("### :material/storefront: Start with the demo world")
        st.markdown(
            "A shop of 1,800 items with drawn pictures and titles, and 5,000 users whose tastes are known. It trains "
            "two small backbones, caches their states, trains IISAN and measures it: about two minutes on two cores."
        )
        if st.button("Make the demo world and train on it", type="primary", icon=":material/play_arrow:"):
            start([DEMO], workspace=workspace, device="auto")
            st.rerun()


def draw_runs(runs: Sequence[RunFacts]) -> None:
    """The newest runs, with their state and what they reach."""
    st.subheader("Runs", anchor=False)
    with st.container(border=True, gap="small"):
        for run in runs[:NEWEST]:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                state_badge(run.state)
                st.markdown(f"**{plain(run.name)}**", width="content")
                st.caption(_said_of(run), width="content")
        if len(runs) > NEWEST:
            st.caption(f"and {count(len(runs) - NEWEST, 'older run')}")
        page_link("compare")


def _said_of(run: RunFacts) -> str:
    if run.status is None:
        return plain(run.problem)
    if run.results:
        return f"HR@10 {run.results['quality']['test']['HR@10']:.2f} · {since(run.touched)} ago"
    if run.status.epochs:
        return f"epoch {run.status.epoch} of {run.status.epochs} · {since(run.touched)} ago"
    return plain(run.status.message or "nothing to show yet")


def draw_datasets(folders: Sequence[Path]) -> None:
    """Every dataset with some of its most popular pictures; a broken one says what is wrong."""
    st.subheader("Datasets", anchor=False)
    for folder in folders:
        with st.container(border=True):
            try:
                _draw_dataset(folder)
            except IisanError as error:
                st.markdown(f"**{plain(folder.name)}** cannot be read: {plain(str(error))}")


def _draw_dataset(folder: Path) -> None:
    dataset = read_dataset(folder)
    counts = ", ".join(f"{n:,} {what}" for what, n in dataset.card.counts.items())
    st.markdown(f"**{plain(folder.name)}** · {plain(counts)}")
    popular = dataset.items.join(popularity_of(dataset), on="item_id").sort("count", descending=True).head(200)
    with_picture = popular.filter(popular["image"].is_not_null())["item_id"].head(PICTURES)
    if len(with_picture):
        cards = [Card(item_id) for item_id in with_picture]
        item_cards(dataset, cards, key=f"pictures of {folder.name}", layout="strip")


@st.fragment(run_every=EVERY)
def draw_devices() -> None:
    """The processor, the memory and every GPU, each with how busy it is; nothing here wakes CUDA."""
    with guarded(workspace().root), st.container(border=True):
        memory = psutil.virtual_memory()
        st.markdown(f":material/memory: **Processor** · {psutil.cpu_count()} cores, {plain(platform.machine())}")
        _draw_load(psutil.cpu_percent(), memory.total - memory.available, memory.total)
        found = gpus()
        for gpu in found:
            _draw_gpu(gpu)
        if not found:
            st.caption("No GPU: everything runs on the processor, only smaller.")


def _draw_gpu(gpu: Gpu) -> None:
    st.markdown(f":material/developer_board: **GPU {gpu.index}** · {plain(gpu.name)}")
    _draw_load(gpu.load_percent, gpu.used_bytes, gpu.total_bytes)


def _draw_load(percent: float, used: int, total: int) -> None:
    st.progress(min(percent / 100, 1.0), text=f"load {percent:.0f} %")
    st.progress(min(used / total, 1.0), text=f"memory {size(used)} of {size(total)}")


def draw_learning(runs: Sequence[RunFacts]) -> None:
    """How the newest run got better, epoch by epoch; it also brings the charts' program, which other pages need."""
    for run in runs[:NEWEST]:
        tables = _curves(run)
        if tables:
            st.subheader("Newest curve", anchor=False)
            st.markdown(f"**{plain(run.name)}** · validation HR@10 (× 100)")
            draw_chart(quality_chart(tables, theme=theme()).update_layout(height=260), key="newest curve")
            return


def _curves(run: RunFacts) -> dict[str, pl.DataFrame]:
    """Nothing for a run that has no epochs, or none that can be read: the other runs are shown."""
    try:
        tables = curves_of([run])
    except IisanError:
        return {}
    return {name: table for name, table in tables.items() if table.height}
