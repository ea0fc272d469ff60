"""The leaderboard of runs: a chart with intervals, a table, differences beyond chance, exports."""

from __future__ import annotations

import json
from collections.abc import Sequence

import polars as pl
import streamlit as st

from app.charts.comparison import leaderboard_chart, paired_chart
from app.widgets.comparing import table_of, with_chart_names
from app.widgets.page import draw_chart, theme
from app.widgets.reading import RunFacts
from app.widgets.text import chart_text
from iisan_core.experiments.differences import paired_differences
from iisan_core.experiments.tables import as_markdown, with_spread
from iisan_core.runs.run_folder import RunFolder

METRICS = ("HR@10", "NDCG@10", "HR@20", "NDCG@20", "MRR@10")
HIDDEN = ("protocol", "batch_size", "device", "dataset")


def draw_leaderboard(runs: Sequence[RunFacts]) -> None:
    """Everything about how good and how dear the runs are."""
    metric = str(st.selectbox("Metric", METRICS, key="metric", width=180))
    metrics = list(dict.fromkeys([metric, "HR@10", "NDCG@10"]))
    table = table_of(runs, metrics=metrics)
    named = with_chart_names(table)
    chart = leaderboard_chart(
        named, metric=f"test_{metric}", title=f"Test {metric}, with 95 % intervals over users", theme=theme()
    )
    draw_chart(chart, key="leaderboard")
    _draw_table(table, metrics)
    _draw_exports(table)
    if len(runs) > 1:
        _draw_differences(runs, table, metric)


def _draw_table(table: pl.DataFrame, metrics: Sequence[str]) -> None:
    shown = table.drop([*HIDDEN, *(c for c in table.columns if c.endswith(("_low", "_high")))], strict=False)
    first = ["run", *(f"test_{metric}" for metric in metrics), *(["tpme"] if "tpme" in shown.columns else [])]
    shown = shown.select(*first, pl.exclude(first))
    quality = {
        f"{subset}_{metric}": st.column_config.NumberColumn(f"{subset} {metric}", format="%.2f")
        for subset in ("test", "valid")
        for metric in metrics
    }
    st.dataframe(
        shown.with_columns(peak_memory_bytes=pl.col("peak_memory_bytes") / 1e6),
        hide_index=True,
        column_config=quality
        | {
            "run": st.column_config.TextColumn("run", pinned=True),
            "best_epoch": st.column_config.NumberColumn("best epoch"),
            "seconds_per_epoch": st.column_config.NumberColumn("s per epoch", format="%.2f"),
            "trainable_parameters": st.column_config.NumberColumn("parameters", format="localized"),
            "peak_memory_bytes": st.column_config.NumberColumn("peak MB", format="%.0f"),
            "tpme": st.column_config.NumberColumn("TPME", format="%.3f", help="Lower is better; depends on this set."),
        },
    )
    protocols = table["protocol"].unique(maintain_order=True).to_list()
    if len(protocols) > 1:
        st.warning("These runs have different protocols, so their figures cannot be compared with each other.")
    st.caption("× 100 · " + " · ".join(protocols) + ("" if "tpme" in table.columns else " · no TPME for this set"))


def _draw_exports(table: pl.DataFrame) -> None:
    forms = {
        "CSV": ("runs.csv", table.write_csv(), "text/csv"),
        "Markdown": ("runs.md", as_markdown(with_spread(table)), "text/markdown"),
        "JSON": ("runs.json", json.dumps(table.to_dicts(), indent=2, ensure_ascii=False), "application/json"),
    }
    with st.container(horizontal=True):
        for name, (file, content, mime) in forms.items():
            st.download_button(name, content, file, mime, icon=":material/download:", on_click="ignore")


def _draw_differences(runs: Sequence[RunFacts], table: pl.DataFrame, metric: str) -> None:
    by_name = {run.name: run for run in runs}
    best_first = table["run"].to_list()
    against = by_name[str(st.selectbox("Differences to", best_first, key="against", width=280))]
    if _is_mixed(runs):
        st.caption("Differences need runs of one dataset and one protocol.")
        return
    others: list[RunFolder] = [by_name[name].run for name in best_first if name != against.name]
    found = paired_differences(others, against=against.run, metrics=[metric])
    title = f"Test {metric} minus that of {chart_text(against.name)}, user by user; grey may be chance"
    draw_chart(
        paired_chart(with_chart_names(found), metric=str(found["metric"][0]), title=title, theme=theme()),
        key="differences",
    )


def _is_mixed(runs: Sequence[RunFacts]) -> bool:
    kinds = {(str(run.config.dataset), run.config.protocol.model_dump_json()) for run in runs if run.config}
    return len(kinds) > 1
