"""Compare: the leaderboard of runs, their curves, what they cost, how they differ, and studies."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.charts.comparison import cost_chart, group_chart
from app.charts.runs import efficiency_figure, loss_chart, quality_chart
from app.formats import count, plain, sentence
from app.ui.choices import choose_view
from app.ui.compare import (
    AT_FIRST,
    By,
    curves_of,
    draw_leaderboard,
    draw_studies,
    fault_of,
    groups_of,
    say_what_it_means,
    table_of,
    with_chart_names,
)
from app.ui.frame import show_page
from app.ui.layout import draw_chart, draw_charts, empty_state, theme
from app.ui.readers import RunFacts, runs
from iisan_core.evaluation.lists import BEYOND
from iisan_core.experiments.differences import config_differences
from iisan_core.runs.workspace import Workspace

LEADERBOARD, GROUPS, CURVES, COST = "Leaderboard", "Groups of users", "Curves", "Cost"
DIFFERENCES, STUDIES = "Settings", "Studies"
USERS_BY: dict[By, str] = {
    "popularity": "popularity of the next item",
    "length": "length of the history",
    "repeat": "repeats",
}
GROUP_METRICS = ("HR@10", "NDCG@10", "MRR@10", *BEYOND)
FIRST = 8  # runs that are chosen at first: the newest


def draw(workspace: Workspace) -> None:
    """The page's body."""
    view = choose_view([LEADERBOARD, GROUPS, CURVES, COST, DIFFERENCES, STUDIES])
    if view == STUDIES:
        draw_studies(workspace)
        return
    found = runs(workspace)
    faults = {run.name: fault_of(run) for run in found}
    fit = [run for run in found if faults[run.name] is None]
    if not fit:
        empty_state(
            "No finished run to compare",
            "Train one on the Train page, or make the demo world on the Home page.",
            icon=":material/leaderboard:",
            page="home",
        )
    else:
        chosen = _choose(fit)
        if chosen:
            VIEWS[view](chosen)
        else:
            st.info("Choose at least one run.", icon=":material/checklist:")
    left_out = [f"**{plain(name)}** · {sentence(fault)}" for name, fault in faults.items() if fault is not None]
    _draw_left_out(left_out, "not in the table")


def _choose(fit: Sequence[RunFacts]) -> list[RunFacts]:
    """Runs of one dataset: figures of different data cannot be compared."""
    datasets = list(dict.fromkeys(str((run.results or {})["data"]["dataset"]) for run in fit))
    left, right = st.columns([1, 3])
    wanted = st.session_state.pop(AT_FIRST, [])
    if first := next((run for run in fit if run.name in wanted), None):
        st.session_state["compared dataset"] = (first.results or {})["data"]["dataset"]
    dataset = left.selectbox("Dataset", datasets, key="compared dataset")
    same = {run.name: run for run in fit if (run.results or {})["data"]["dataset"] == dataset}
    if wanted:
        st.session_state[f"compared of {dataset}"] = [name for name in same if name in wanted]
    names = right.multiselect("Runs", list(same), default=list(same)[:FIRST], key=f"compared of {dataset}")
    return [same[name] for name in names]


def _draw_groups(chosen: Sequence[RunFacts]) -> None:
    """Whom the runs serve how well."""
    with st.container(horizontal=True):
        by = st.segmented_control(
            "Users by", list(USERS_BY), default="popularity", required=True, format_func=USERS_BY.__getitem__, key="by"
        )
        metric = str(st.selectbox("Figure", GROUP_METRICS, key="group metric", width=220))
    table, faults = groups_of(chosen, by=by, beyond=metric in BEYOND)
    if not table.is_empty():
        with_intervals = ", with 95 % intervals" if f"{metric}_low" in table.columns else ""
        title = f"Test {metric} by {USERS_BY[by]}{with_intervals}"
        chart = group_chart(table, metric=metric, title=title, theme=theme())
        draw_chart(chart.update_layout(height=480), key="groups")
        say_what_it_means(metric)
    _draw_left_out([sentence(fault) for fault in faults], "without these groups", expanded=table.is_empty())


def _draw_curves(chosen: Sequence[RunFacts]) -> None:
    tables = curves_of(chosen)
    charts = {
        "quality": quality_chart(tables, title="Validation HR@10", theme=theme()),
        "loss": loss_chart(tables, title="Training loss", theme=theme()),
    }
    draw_charts(charts, look=BELOW)


def _draw_cost(chosen: Sequence[RunFacts]) -> None:
    table = with_chart_names(table_of(chosen, metrics=["HR@10", "NDCG@10"])).with_columns(method="run")
    draw_chart(efficiency_figure(table, title="What an epoch costs", theme=theme()), key="cost")
    draw_chart(cost_chart(table, title="What it brings", theme=theme()), key="worth")
    st.caption("A bubble's area grows with the trainable parameters. Down and to the left is cheaper.")


def _draw_settings(chosen: Sequence[RunFacts]) -> None:
    if len(chosen) < 2:
        st.info("Choose at least two runs to see how their settings differ.", icon=":material/checklist:")
        return
    table = config_differences([run.run for run in chosen])
    if table.is_empty():
        st.success("These runs have the same settings.", icon=":material/check_circle:")
        return
    st.caption(f"{count(table.height, 'setting')} in which these runs differ")
    st.dataframe(table, hide_index=True)


BELOW = {
    "legend": {"orientation": "h", "y": -0.27, "x": 0, "xanchor": "left", "yanchor": "top"},
    "height": 440,
    "margin_b": 120,
}
VIEWS = {
    LEADERBOARD: draw_leaderboard,
    GROUPS: _draw_groups,
    CURVES: _draw_curves,
    COST: _draw_cost,
    DIFFERENCES: _draw_settings,
}


def _draw_left_out(faults: Sequence[str], where: str, *, expanded: bool = False) -> None:
    """Why some runs are not shown, as Markdown."""
    if faults:
        label = f"{count(len(faults), 'run')} {where}"
        with st.expander(label, icon=":material/playlist_remove:", expanded=expanded):
            for fault in faults:
                st.markdown(fault)


show_page("Compare", draw, about="Which run is better, by how much, and at what cost.")
