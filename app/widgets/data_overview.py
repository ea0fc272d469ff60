"""What a dataset holds, and what should be known of it before training."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.charts.dataset import coverage_chart, length_chart, lorenz_chart, popularity_chart, time_chart
from app.widgets.cards import Card, item_cards
from app.widgets.page import draw_chart, fact, theme
from app.widgets.reading import dataset_findings, dataset_statistics, distributions_of, popularity_of
from app.widgets.text import plain, sentence
from data_tools.checks import Finding
from iisan_core.data.dataset import Dataset

ICONS = {"error": ":material/error:", "warning": ":material/warning:", "note": ":material/info:"}
BOXES = {"error": st.error, "warning": st.warning, "note": st.info}
MOST_POPULAR = 10
LOOK: dict[str, Any] = {"height": 300, "legend": {"x": 1, "xanchor": "right", "y": 0, "yanchor": "bottom"}}
"""The legend stands within the chart: above it is the title."""
CHARTS = {
    "lengths": ("How long users' histories are", length_chart),
    "popularity": ("How popular items are", popularity_chart),
    "time": ("When it happened", time_chart),
    "coverage": ("What items are known by", coverage_chart),
    "inequality": ("How unequal popularity is", lorenz_chart),
}
"""Table → title and chart."""


def draw_overview(dataset: Dataset) -> None:
    """Counts, the most popular items, charts, and where the data came from."""
    facts = dataset_statistics(dataset.folder)
    boxes = [
        ("Items", facts.items, f"{facts.items - facts.items_without_image:,} with a picture"),
        ("Users", facts.users, f"{facts.kept_users:,} long enough to train on"),
        ("Interactions", facts.interactions, f"{facts.kept_interactions:,} kept by the protocol"),
        ("Cold test targets", facts.cold_test_targets, "users whose last item nobody had before"),
    ]
    for column, (label, value, note) in zip(st.columns(len(boxes)), boxes, strict=True):
        with column:
            fact(label, f"{value:,}", note)
    st.subheader("Most popular", anchor=False)
    popular = popularity_of(dataset).sort("count", descending=True, maintain_order=True).head(MOST_POPULAR)
    cards = [Card(item_id, corner=f"{n:,}×") for item_id, n in popular.iter_rows()]
    item_cards(dataset, cards, key="popular", layout="strip")
    _draw_charts(dataset)
    _draw_origin(dataset)


def _draw_charts(dataset: Dataset) -> None:
    """Two in a row."""
    tables = distributions_of(dataset)
    charts = [
        draw(tables[name], title=title, theme=theme()) for name, (title, draw) in CHARTS.items() if name in tables
    ]
    for start in range(0, len(charts), 2):
        for column, number in zip(st.columns(2, gap="medium"), range(start, min(start + 2, len(charts))), strict=False):
            with column:
                draw_chart(charts[number].update_layout(**LOOK), key=f"distribution {number}")


def _draw_origin(dataset: Dataset) -> None:
    card = dataset.card
    with st.expander("Where it came from, and what was left out", icon=":material/history:"):
        st.markdown(f"**Source** {plain(card.source)}  \n**Folder** {plain(str(dataset.folder))}")
        rows = [(name, n, "dropped") for name, n in card.dropped.items() if n]
        rows += [(name, n, "kept, but wanting") for name, n in card.reported.items() if n]
        if rows:
            table = [{"what": n.replace("_", " "), "count": c, "": how} for n, c, how in rows]
            st.dataframe(table, hide_index=True, width="content")
        else:
            st.caption("Nothing was left out, and nothing is wanting.")


def draw_checks(dataset: Dataset) -> None:
    """Findings, errors first, each with its remedy."""
    findings = dataset_findings(dataset.folder)
    if not findings:
        st.success("Nothing to report: the dataset is ready for training.", icon=":material/check_circle:")
    for finding in findings:
        _draw_finding(finding)


def _draw_finding(finding: Finding) -> None:
    remedy = finding.remedy[:1].upper() + finding.remedy[1:]
    BOXES[finding.severity](
        f"**{finding.count:,} {plain(finding.what)}.** {sentence(remedy)}.", icon=ICONS[finding.severity]
    )
