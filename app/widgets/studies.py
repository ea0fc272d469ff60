"""Finished studies of the workspace: their question, chart and table."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from app.charts.studies import study_chart
from app.widgets.page import draw_chart, empty_state, theme
from app.widgets.reading import folders
from app.widgets.text import plain
from iisan_core.experiments.study_table import ABOUT, TABLE, read_table
from iisan_core.experiments.tables import as_markdown, with_spread
from iisan_core.files import read_json
from iisan_core.runs.workspace import Workspace


def draw_studies(workspace: Workspace) -> None:
    """One study, chosen by its folder."""
    found = folders(workspace.runs, with_file=TABLE)
    if not found:
        empty_state(
            "No study yet",
            "A study trains one thing in several ways with several seeds: `iisan study --help` lists them. "
            "Finished ones are drawn here.",
            icon=":material/science:",
        )
        return
    names = [folder.name for folder in found]
    folder = workspace.runs / str(st.selectbox("Study", names, key="study", bind="query-params", width=380))
    table = read_table(folder)
    about = read_json(folder / ABOUT, what="study") if (folder / ABOUT).is_file() else {}
    st.markdown(plain(str(about.get("question", folder.name))))
    metrics = [c.removeprefix("test_") for c in table.columns if c.startswith("test_") and not c.endswith("deviation")]
    metric = str(st.segmented_control("Metric", metrics, default=metrics[0], required=True, key="study metric"))
    draw_chart(study_chart(table, metric=metric, theme=theme()), key="study chart")
    shown = with_spread(table)
    st.dataframe(shown, hide_index=True, column_config={name: _column(shown, name) for name in shown.columns})
    with st.container(horizontal=True):
        st.download_button("CSV", table.write_csv(), f"{folder.name}.csv", "text/csv", on_click="ignore")
        st.download_button("Markdown", as_markdown(shown), f"{folder.name}.md", "text/markdown", on_click="ignore")


def _column(table: pl.DataFrame, name: str) -> Any:
    label, kind = name.replace("_", " "), table.schema[name]
    if not kind.is_numeric():
        return st.column_config.TextColumn(label)
    return st.column_config.NumberColumn(label, format="%.2f" if kind.is_float() else "localized")
