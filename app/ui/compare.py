"""Runs side by side: their tables and curves, read once per change; the leaderboard, and finished studies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

import polars as pl
import streamlit as st

from app.charts.comparison import leaderboard_chart, paired_chart
from app.charts.runs import epoch_table
from app.charts.studies import study_chart
from app.formats import html_text, plain, sentence
from app.ui.layout import draw_chart, empty_state, theme
from app.ui.readers import RunFacts, Stamp, folders, stamp
from iisan_core.errors import IisanError, RefusedError
from iisan_core.evaluation.lists import BEYOND
from iisan_core.experiments.differences import paired_differences
from iisan_core.experiments.leaderboard import best_first, leaderboard, readable_runs, tpme
from iisan_core.experiments.tables import ABOUT, TABLE, as_markdown, read_table, with_spread
from iisan_core.files import checked, read_object
from iisan_core.runs.evaluate import evaluate
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import Workspace

By: TypeAlias = Literal["popularity", "length", "repeat"]
RUN_FILES = ("config.yaml", "results.json", "ranks.parquet")
METRICS = ("HR@10", "NDCG@10", "HR@20", "NDCG@20", "MRR@10", *BEYOND)
AT_FIRST = "compared at first"
"""Key: names of the runs that were chosen elsewhere to be compared."""
HIDDEN = ("protocol", "batch_size", "device", "dataset")


def fault_of(run: RunFacts) -> str | None:
    """Why a run cannot be compared; None where it can."""
    if run.status is None:
        return run.problem
    return _fault(str(run.run.path), _changed(run)) if run.usable else run.status.message or f"it is {run.state}"


def table_of(runs: Sequence[RunFacts], *, metrics: Sequence[str]) -> pl.DataFrame:
    """The leaderboard with intervals and, where the runs can have it, TPME; the best first."""
    rows = [_row(str(run.run.path), _changed(run), tuple(metrics)) for run in runs]
    table = pl.concat(rows, how="vertical_relaxed")
    with suppress(RefusedError):  # one run, or runs of unlike datasets, batch sizes or devices have no such figure
        table = tpme(table)
    return best_first(table, f"test_{metrics[0]}")


def curves_of(runs: Sequence[RunFacts]) -> dict[str, pl.DataFrame]:
    """Finished epochs by the run's name, as a chart shows it."""
    return {html_text(run.name): _epochs(str(run.run.path), stamp(run.run.path / "metrics.jsonl")) for run in runs}


def groups_of(runs: Sequence[RunFacts], *, by: By, beyond: bool = False) -> tuple[pl.DataFrame, list[str]]:
    """Metrics, and figures beside accuracy, by groups of users, one run after the other; and why some have none."""
    tables, faults = [pl.DataFrame()], []
    for run in runs:
        try:
            tables.append(_groups(str(run.run.path), _changed(run), by, beyond))
        except IisanError as error:
            faults.append(str(error))
    table = pl.concat(tables, how="diagonal_relaxed")
    return (table if table.is_empty() else with_chart_names(table)), faults


def with_chart_names(table: pl.DataFrame) -> pl.DataFrame:
    """The same table, its run names as a chart shows them as they are."""
    names = [name for name in ("run", "against") if name in table.columns]
    return table.with_columns(pl.col(*names).map_elements(html_text, return_dtype=pl.String))


def _changed(run: RunFacts) -> Stamp:
    return stamp(*(run.run.path / name for name in RUN_FILES))


@st.cache_resource(max_entries=500, show_spinner=False)
def _fault(path: str, changed: Stamp) -> str | None:
    return next(iter(readable_runs([path]).left_out.values()), None)


@st.cache_resource(max_entries=500, show_spinner=False)
def _row(path: str, changed: Stamp, metrics: tuple[str, ...]) -> pl.DataFrame:
    return leaderboard([RunFolder.open(path)], metrics=metrics, intervals=True)


@st.cache_resource(max_entries=200, show_spinner=False)
def _groups(path: str, changed: Stamp, by: By, beyond: bool) -> pl.DataFrame:
    return evaluate(RunFolder.open(path), ks=(10,), by=by, intervals=True, beyond=beyond)


@st.cache_resource(max_entries=200, show_spinner=False)
def _epochs(path: str, changed: Stamp) -> pl.DataFrame:
    return epoch_table(RunFolder(Path(path)).events())


def draw_leaderboard(runs: Sequence[RunFacts]) -> None:
    """How good and how dear the runs are: a chart with intervals, a table, exports, differences beyond chance."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        metric = str(st.selectbox("Metric", METRICS, key="metric", width=220))
        beyond = st.toggle("Beyond accuracy", key="beyond", help="What else the lists of ten are like.")
    metrics = list(dict.fromkeys([metric, "HR@10", "NDCG@10", *(BEYOND if beyond else ())]))
    table = table_of(runs, metrics=metrics)
    title = f"Test {metric}" + (", with 95 % intervals over users" if f"test_{metric}_low" in table.columns else "")
    chart = leaderboard_chart(with_chart_names(table), metric=f"test_{metric}", title=title, theme=theme())
    draw_chart(chart, key="leaderboard")
    say_what_it_means(metric)
    _draw_table(table, metrics)
    if not BEYOND.keys().isdisjoint(metrics):
        _say_who_lacks_them(runs)
    _draw_exports(table)
    if len(runs) > 1:
        _draw_differences(runs, table, metric)


def say_what_it_means(metric: str) -> None:
    """A figure beside accuracy in plain words; nothing for the others."""
    if metric in BEYOND:
        st.caption(f"{metric}: {BEYOND[metric]}.")


def _draw_table(table: pl.DataFrame, metrics: Sequence[str]) -> None:
    shown = table.drop([*HIDDEN, *(c for c in table.columns if c.endswith(("_low", "_high")))], strict=False)
    first = ["run", *(f"test_{metric}" for metric in metrics), *(["tpme"] if "tpme" in shown.columns else [])]
    shown = shown.select(*first, pl.exclude(first))
    quality = {
        f"{subset}_{metric}": st.column_config.NumberColumn(
            f"{subset} {metric}", format="%.2f", help=sentence(BEYOND[metric]) if metric in BEYOND else None
        )
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


def _say_who_lacks_them(runs: Sequence[RunFacts]) -> None:
    """Runs that have no figures beside accuracy, and how to get them."""
    older = [plain(run.name) for run in runs if "beyond" not in (run.results or {})]
    if older:
        st.caption(
            f"{', '.join(older)}: trained before figures beside accuracy were measured; "
            "`iisan evaluate RUN --beyond --anew` shows them."
        )


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
    names = table["run"].to_list()
    against = by_name[str(st.selectbox("Differences to", names, key="against", width=280))]
    if _is_mixed(runs):
        st.caption("Differences need runs of one dataset and one protocol.")
        return
    others = [by_name[name].run for name in names if name != against.name]
    try:
        found = paired_differences(others, against=against.run, metrics=[metric])
    except RefusedError as error:  # such as a figure that only all users together have
        st.caption(sentence(str(error)))
        return
    title = f"Test {metric} minus that of {html_text(against.name)}, user by user; grey may be chance"
    chart = paired_chart(with_chart_names(found), metric=str(found["metric"][0]), title=title, theme=theme())
    draw_chart(chart, key="differences")


def _is_mixed(runs: Sequence[RunFacts]) -> bool:
    kinds = {(str(run.config.dataset), run.config.protocol.model_dump_json()) for run in runs if run.config}
    return len(kinds) > 1


def draw_studies(workspace: Workspace) -> None:
    """A finished study, chosen by its folder: its question, chart and table."""
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
    about = read_object(checked(folder / ABOUT), what="study") if (folder / ABOUT).is_file() else {}
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
