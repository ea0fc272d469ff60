"""The first page: what lies in the workspace, what to do next, the demo world, and what there is to compute on."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence

import polars as pl
import psutil
import streamlit as st

from app.charts.runs import quality_chart
from app.formats import count, plain, since, size
from app.jobs.devices import Gpu, gpus
from app.jobs.process import start
from app.keeping.labels import labels_of
from app.ui.cards import Card, item_cards
from app.ui.compare import curves_of
from app.ui.layout import (
    dataset_link,
    draw_chart,
    guarded,
    leave_for,
    page_link,
    run_link,
    state_badge,
    theme,
    workspace,
)
from app.ui.monitor import jobs_of
from app.ui.next_step import IMPORT
from app.ui.readers import DatasetFacts, RunFacts, popularity_of, read_dataset
from iisan_core.data.dataset import Dataset
from iisan_core.errors import IisanError
from iisan_core.runs.job_folder import JobFolder
from iisan_core.runs.status import Status
from iisan_core.runs.workspace import Workspace

PICTURES = 8
NEWEST = 6
NEWS = 24 * 3600.0
"""Seconds for which it is news that the demo world is made."""
PICTURED = 3
"""Datasets that are drawn with pictures: each has to be read for them."""
ALL = "All datasets"
"""The Data page's view that lists them."""
DEMO = "demo"
"""The demo world's verb, and the run that it trains."""
EVERY = 5
"""Seconds between two looks at the devices."""
psutil.cpu_percent()  # the first answer is about nothing; the later ones are about the time since the one before


def draw_beginning() -> None:
    """Two ways to begin where nothing is yet: data of one's own, and the demo world."""
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.markdown("### :material/upload_file: Bring your own data")
        st.markdown(
            "A catalogue and a log: CSV, JSON lines, Parquet, or one of fourteen public datasets as they are "
            "distributed. Pictures, videos and sounds if you have them."
        )
        if st.button("Import data", type="primary", icon=":material/upload_file:"):
            leave_for("data", view=IMPORT)
    with right:
        offer_demo()


def demo_job(here: Workspace) -> JobFolder | None:
    """The job that makes the demo world, until it is finished and somebody has said that they saw it."""
    newest = next((job for job in jobs_of(here, DEMO) if job.status), None)
    if newest is None or newest.status is None:
        return None
    seen = newest.status.state == "finished" and not _is_news(newest.folder, newest.status)
    return None if seen else newest.folder


def _is_news(folder: JobFolder, status: Status) -> bool:
    return time.time() - status.since < NEWS and labels_of(folder.path).dismissed < status.since


def offer_demo() -> None:
    """The demo world, at one press of a button."""
    with st.container(border=True, height="stretch"):
        st.markdown("### :material/storefront: Start with the demo world")
        st.markdown(
            "A shop of 1,800 items with drawn pictures and titles, and 5,000 users whose tastes are known. It trains "
            "two small backbones, caches their states, trains IISAN and measures it: about two minutes on two cores."
        )
        if st.button("Make the demo world and train on it", type="primary", icon=":material/play_arrow:"):
            start([DEMO], workspace=workspace(), device="auto")
            st.rerun()


def draw_runs(runs: Sequence[RunFacts]) -> None:
    """The newest runs, with their state and what they reach."""
    st.subheader("Runs", anchor=False)
    with st.container(border=True, gap="small"):
        for run in runs[:NEWEST]:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                state_badge(run.state)
                run_link(run.name)
                st.caption(_said_of(run), width="content")
        with st.container(horizontal=True):
            page_link("runs", label=f"All {count(len(runs), 'run')}" if len(runs) > NEWEST else "All runs")
            page_link("compare", label="Compare")


def _said_of(run: RunFacts) -> str:
    if run.status is None:
        return plain(run.problem)
    if run.results:
        return f"HR@10 {run.results['quality']['test']['HR@10']:.2f} · {since(run.touched)} ago"
    if run.status.epochs:
        return f"epoch {run.status.epoch} of {run.status.epochs} · {since(run.touched)} ago"
    return plain(run.status.message or "nothing to show yet")


def draw_datasets(found: Sequence[DatasetFacts]) -> None:
    """The datasets that changed last, with some of their most popular pictures; a broken one says what is wrong."""
    st.subheader("Datasets", anchor=False)
    newest = sorted(found, key=lambda each: -each.touched)[:PICTURED]
    for each in newest:
        with st.container(border=True, gap="small"):
            counts = each.card.counts if each.card else {}
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                dataset_link(each.name)
                st.caption(plain(", ".join(f"{n:,} {what}" for what, n in counts.items())), width="content")
            try:
                _draw_pictures(read_dataset(each.folder))
            except IisanError as error:
                st.markdown(f"**{plain(each.name)}** cannot be read: {plain(str(error))}")
    page_link("data", label=f"All {count(len(found), 'dataset')}" if len(found) > 1 else "All datasets", view=ALL)


def _draw_pictures(dataset: Dataset) -> None:
    popular = dataset.items.join(popularity_of(dataset), on="item_id").sort("count", descending=True).head(200)
    with_picture = popular.filter(popular["image"].is_not_null())["item_id"].head(PICTURES)
    if len(with_picture):
        cards = [Card(item_id) for item_id in with_picture]
        item_cards(dataset, cards, key=f"pictures of {dataset.folder.name}", layout="strip")


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
            run_link(run.name)
            st.markdown("validation HR@10 (× 100)")
            draw_chart(quality_chart(tables, theme=theme()).update_layout(height=260), key="newest curve")
            return


def _curves(run: RunFacts) -> dict[str, pl.DataFrame]:
    """Nothing for a run that has no epochs, or none that can be read: the other runs are shown."""
    try:
        tables = curves_of([run])
    except IisanError:
        return {}
    return {name: table for name, table in tables.items() if table.height}
