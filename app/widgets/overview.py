"""What lies in the workspace: datasets, caches, runs; and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import streamlit as st

from app.charts.runs import quality_chart
from app.widgets.cards import Card, item_cards
from app.widgets.comparing import curves_of
from app.widgets.job_monitor import state_badge
from app.widgets.page import page_link, theme
from app.widgets.reading import RunFacts, popularity_of, read_dataset
from app.widgets.text import ago, count, plain
from iisan_core.errors import IisanError

PICTURES = 8
NEWEST = 6


def draw_next(datasets: Sequence[Path], caches: int, runs: Sequence[RunFacts]) -> None:
    """The one thing to do next."""
    if any(run.usable for run in runs):
        what, page = "A trained run is here: look at what it recommends, and why.", "recommendations"
    elif any(run.state in ("running", "starting", "queued") for run in runs):
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


def draw_runs(runs: Sequence[RunFacts]) -> None:
    """The newest runs, with their state and what they reach."""
    st.subheader("Runs", anchor=False)
    with st.container(border=True, gap="small"):
        for run in runs[:NEWEST]:
            _draw_run(run)
        if len(runs) > NEWEST:
            st.caption(f"and {count(len(runs) - NEWEST, 'older run')}")
        page_link("compare")


def draw_learning(runs: Sequence[RunFacts]) -> None:
    """How the newest run got better, epoch by epoch; it also brings the charts' program, which other pages need."""
    for run in runs[:NEWEST]:
        tables = _curves(run)
        if tables:
            st.subheader("Newest curve", anchor=False)
            st.markdown(f"**{plain(run.name)}** · validation HR@10 (× 100)")
            figure = quality_chart(tables, theme=theme()).update_layout(height=260)
            st.plotly_chart(figure, theme=None, key="newest curve", config={"displayModeBar": False})
            return


def _curves(run: RunFacts) -> dict[str, pl.DataFrame]:
    """Nothing for a run that has no epochs, or none that can be read: the other runs are shown."""
    try:
        tables = curves_of([run])
    except IisanError:
        return {}
    return {name: table for name, table in tables.items() if table.height}


def _draw_run(run: RunFacts) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        state_badge(run.state)
        st.markdown(f"**{plain(run.name)}**", width="content")
        st.caption(_said_of(run), width="content")


def _said_of(run: RunFacts) -> str:
    if run.problem:
        return plain(run.problem)
    if run.results:
        return f"HR@10 {run.results['quality']['test']['HR@10']:.2f} · {ago(run.heartbeat)}"
    if run.epochs:
        return f"epoch {run.epoch} of {run.epochs} · {ago(run.heartbeat)}"
    return plain(run.message or "nothing to show yet")
