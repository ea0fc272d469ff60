"""What all pages have: the workspace, the theme, a header, an error guard, and empty states."""

from __future__ import annotations

from collections.abc import Callable

# Before anything is drawn: Streamlit imports it with the first table, and what plotly draws meanwhile for another
# visitor fails.
import pandas  # noqa: F401
import plotly.graph_objects as go
import streamlit as st

from app.charts.palette import Theme
from app.widgets.faults import guarded
from app.widgets.navigation import PAGES, TITLES, run_through_main
from app.widgets.text import plain, sentence
from iisan_core.runs.workspace import VARIABLE, Workspace

CHART_CONFIG = {"displayModeBar": False}


def workspace() -> Workspace:
    """The workspace, by an absolute path: `$IISAN_WORKSPACE`, else `workspace` where the app was started."""
    return Workspace(Workspace.default().root.absolute())


def theme() -> Theme:
    """The theme that the visitor sees."""
    return "dark" if st.context.theme.type == "dark" else "light"


def show_page(title: str, body: Callable[[Workspace], None], *, about: str) -> None:
    """A page: its header, and its body under the error guard.

    body   draws the page for a workspace
    about  what the page is for, one sentence
    """
    run_through_main()
    here = workspace()
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        with st.container(gap=None, width="content"):
            st.title(title, anchor=False)
            st.caption(about)
        st.caption(f":material/folder: {plain(here.root.name)}", width="content", help=f"`{here.root}` (${VARIABLE})")
    with guarded(here.root):
        body(here)


def empty_state(what: str, remedy: str, *, icon: str = ":material/inbox:", page: str | None = None) -> None:
    """A place where nothing is yet: what would be here, what to do, and the page on which to do it.

    page  name of a page file, such as `data`
    """
    with st.container(border=True, horizontal_alignment="center", gap="small"):
        st.space("small")
        st.markdown(f"### {icon} {plain(what)}", text_alignment="center")
        st.markdown(sentence(remedy), text_alignment="center")
        if page is not None:
            with st.container(horizontal=True, horizontal_alignment="center"):
                page_link(page)
        st.space("small")


def page_link(page: str, *, label: str | None = None) -> None:
    """A link to a page by the name of its file."""
    title, icon = TITLES[page]
    if not (PAGES / f"{page}.py").is_file():
        return
    st.page_link(PAGES / f"{page}.py", label=label or f"Go to {title}", icon=icon, width="content")


def fact(label: str, value: str, note: str = "") -> None:
    """A number in a box, and what it means."""
    with st.container(border=True, height="stretch", gap="xxsmall"):
        st.metric(label, value)
        if note:
            st.caption(plain(note))


def draw_chart(figure: go.Figure, *, key: str) -> None:
    """A chart in its own look, without the toolbar's advertising."""
    st.plotly_chart(figure, theme=None, key=key, config=CHART_CONFIG)
