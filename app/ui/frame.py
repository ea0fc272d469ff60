"""The frame of every page: its header, the jobs, what comes next, and the body under the guard against faults."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.formats import plain
from app.ui.choices import AT_HAND
from app.ui.handling import offer_undo
from app.ui.jobs_panel import draw_panel
from app.ui.layout import ARRIVING, NAVIGATED, TITLES, dataset_link, guarded, navigation, page_link, workspace
from app.ui.next_step import Step, first_step, further_steps, step_of, world_of
from app.ui.readers import DatasetFacts, RunFacts, cache_manifests, datasets, read_card, runs
from iisan_core.config.places import VARIABLE
from iisan_core.runs.workspace import Workspace

PAGE = "page that is shown"
SHARED = ("view", "dataset", "run")
"""Keys of choosers that stand on several pages; what they say stands in the address."""
CHOOSERS = {
    "data": ("view", "dataset"),
    "backbones": ("view", "dataset"),
    "train": ("view", "dataset"),
    "runs": ("view",),
    "compare": ("view", "study"),
    "recommendations": ("view", "run"),
}
"""Page → keys of its address that its own choosers write."""


def show_page(title: str, body: Callable[[Workspace], None], *, about: str) -> None:
    """A page: its header, and its body under the error guard.

    body   draws the page for a workspace
    about  what the page is for, one sentence
    """
    _run_through_main()
    here = workspace()
    page = next((name for name, (said, _) in TITLES.items() if said == title), "home")
    st.set_page_config(page_title=title if page == "home" else f"{title} · IISAN Workbench")
    _follow_address(page)
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        with st.container(gap=None, width="content"):
            st.title(title, anchor=False)
            st.caption(about)
        with st.container(horizontal=True, vertical_alignment="center", width="content", wrap=False, gap="small"):
            place = f"`{here.root}` (${VARIABLE})"
            st.caption(f":material/folder: {plain(here.root.name)}", width="content", help=place)
            draw_panel()
    step = st.container()
    with guarded(here.root):
        offer_undo(here)
        body(here)
    with step, guarded(here.root):
        _draw_next(here, page)


def _run_through_main() -> None:
    """Start over with the navigation where a page was run by itself.

    Streamlit does so on a fresh server's first request, because the folder is called `pages`, until it has seen a
    navigation.
    """
    if NAVIGATED not in st.session_state:
        navigation()
        st.rerun()


def _follow_address(page: str) -> None:
    """What the address says goes before what was chosen on another page, or on this one before a link was followed."""
    has_changed = st.session_state.get(PAGE) != page
    st.session_state[PAGE] = page
    for key in SHARED:
        asked = st.query_params.get(key)
        if has_changed or (asked is not None and asked != st.session_state.get(key)):
            st.session_state.pop(key, None)
    for key, value in st.session_state.pop(ARRIVING, {}).items():
        if key in CHOOSERS.get(page, ()):
            st.session_state[key] = value
        else:
            st.query_params[key] = value


def _draw_next(here: Workspace, page: str) -> None:
    """What comes next with the dataset at hand, and where one goes for it."""
    facts = _at_hand(here)
    if facts is None:
        if page not in ("home", "data"):  # which offer it in large
            _draw_bar(None, first_step(), page, ())
        return
    world = world_of(here, caches=cache_manifests(here), runs=runs(here))
    step = step_of(facts, world)
    _draw_bar(facts.name, step, page, further_steps(facts, world) if step.page == page else ())


def _draw_bar(name: str | None, step: Step, page: str, further: tuple[Step, ...] | list[Step]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="next step"):
        st.markdown(":material/arrow_forward: **Next**", width="content")
        if name:
            dataset_link(name)
        st.caption(step.said, width="content")
        for each in (step,) if step.page != page else further:
            page_link(each.page, label=f"**{each.label}**", **each.query)


def _at_hand(here: Workspace) -> DatasetFacts | None:
    """The dataset that the visitor looked at last, else the one of the newest run, else the last that was changed."""
    name = st.session_state.get(AT_HAND, "")
    if name and (here.datasets / name / "dataset.json").is_file():
        return read_card(here.datasets / name)
    newest: RunFacts | None = next((run for run in runs(here) if run.dataset), None)
    if newest and newest.config and (newest.config.dataset / "dataset.json").is_file():
        return read_card(newest.config.dataset)
    return max(datasets(here), key=lambda each: each.touched, default=None)
