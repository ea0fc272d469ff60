"""Recommendations: whom a run serves and how, why, and what the model has learned."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.formats import plain
from app.ui.choices import choose_run, choose_view, finished_runs
from app.ui.frame import show_page
from app.ui.handling import has_dataset
from app.ui.inside import draw_gates, draw_map, draw_similar
from app.ui.readers import RunFacts, dataset_of, histories_of
from app.ui.recommend import audience_of, choose_user, draw_composed, draw_history, draw_recommended
from app.ui.take_away import draw_take_away
from iisan_core.errors import IisanError
from iisan_core.runs.workspace import Workspace

PEOPLE, SIMILAR, GATES, MAP = "Recommendations", "Similar items", "Gates", "Item map"
COMPOSED = "My own history"
NOBODY = "–"
NOW, EVALUATION = "Now", "Evaluation"
SAID = {
    NOW: "recommended from the whole history",
    EVALUATION: "the item that really came next is held back, as for the metrics",
}


def draw(workspace: Workspace) -> None:
    """The page's body."""
    finished = finished_runs(workspace)
    if not finished:
        return
    view = choose_view([PEOPLE, SIMILAR, GATES, MAP])
    left, middle, right = st.columns([3, 3, 1])
    with left:
        run = choose_run(finished, label="Run", key="run")
    if run is None or not has_dataset(workspace, run):
        return
    if view == PEOPLE:
        with middle:
            beside = _choose_second(run, finished)
        k = right.selectbox("Items", [10, 5, 20, 50], key="k", bind="query-params")
        _draw_people([run, *beside], k=int(k))
    else:
        {SIMILAR: draw_similar, GATES: draw_gates, MAP: draw_map}[view](run)


def _choose_second(run: RunFacts, finished: Sequence[RunFacts]) -> list[RunFacts]:
    """A run of the same dataset to stand beside the first one, or none."""
    same = {
        other.name: other
        for other in finished
        if other.name != run.name and other.config and run.config and other.config.dataset == run.config.dataset
    }
    name = st.selectbox("Beside it", [NOBODY, *same], key="beside", bind="query-params", icon=":material/splitscreen:")
    return [same[name]] if name in same else []


def _draw_people(runs: list[RunFacts], *, k: int) -> None:
    audience = audience_of(runs[0])
    kinds = [*audience.groups, COMPOSED]
    group = choose_view(kinds, key="group")
    address: dict[str, object] = {"run": runs[0].name, "beside": [run.name for run in runs[1:]], "k": k, "group": group}
    if group == COMPOSED:
        draw_composed(runs, k=k, address=address)
        return
    user = choose_user(audience, str(group))
    if user is None:
        return
    row = audience.row(user)
    histories = histories_of(runs[0])
    with st.container(horizontal=True, vertical_alignment="center"):
        view = choose_view([NOW, EVALUATION], key="moment")
        st.markdown(f"**{plain(user)}** · {row['interactions']} interactions · {SAID[view]}")
    address |= {"user": user, "moment": view}
    if view == NOW:
        history = histories.now(user)
        draw_history(dataset_of(runs[0]), history)
        lists = draw_recommended(runs, history, k=k, ranks=[None] * len(runs))
        draw_take_away(runs, lists, user=user, address=address)
        return
    held = histories.held_back(user)
    if row.get("test_interactions") == 0:
        st.caption("Nobody had the item that came next in training.")
    draw_history(dataset_of(runs[0]), held.history, target=held.target)
    ranks = [_rank(run, user) for run in runs]
    lists = draw_recommended(runs, held.history, k=k, target=held.target, ranks=ranks)
    draw_take_away(runs, lists, user=user, address=address)


def _rank(run: RunFacts, user: str) -> int | None:
    try:
        return int(audience_of(run).row(user)["test"])
    except IisanError:  # another protocol, which left this user out
        return None


show_page("Recommendations", draw, about="What runs recommend, to whom, and why.")
