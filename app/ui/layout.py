"""What all pages have: navigation, workspace and theme, links, an error guard, and the pieces they are laid out of.

Errors on a page are one sentence and a remedy, never a traceback.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, NoReturn

# Before anything is drawn: Streamlit imports it with the first table, and what plotly draws meanwhile for another
# visitor fails.
import pandas  # noqa: F401
import plotly.graph_objects as go
import streamlit as st
from streamlit.navigation.page import Page

from app.charts.palette import Theme
from app.formats import capitalized, plain, sentence
from iisan_core.errors import IisanError
from iisan_core.runs.workspace import Workspace

PAGES = Path(__file__).parents[1] / "pages"
TITLES = {
    "home": ("Home", ":material/home:"),
    "data": ("Data", ":material/database:"),
    "backbones": ("Backbones", ":material/layers:"),
    "train": ("Train", ":material/model_training:"),
    "runs": ("Runs", ":material/list_alt:"),
    "compare": ("Compare", ":material/leaderboard:"),
    "recommendations": ("Recommendations", ":material/recommend:"),
}
"""Name of a page's file → title and icon, in the navigation's order."""
STATES = {
    "queued": ("gray", ":material/hourglass_top:"),
    "starting": ("blue", ":material/rocket_launch:"),
    "running": ("blue", ":material/play_circle:"),
    "finished": ("green", ":material/check_circle:"),
    "stopped": ("orange", ":material/stop_circle:"),
    "failed": ("red", ":material/error:"),
    "interrupted": ("orange", ":material/power_off:"),
    "complete": ("green", ":material/check_circle:"),
    "unfinished": ("orange", ":material/pending:"),
    "broken": ("red", ":material/heart_broken:"),
    "damaged": ("red", ":material/heart_broken:"),
}
"""State of a run, a job or a cache → colour and icon, on every page; its word is its own, as in the shell."""
LOG = "app.log"
LOG_BYTES = 1_000_000
ARRIVING = "on arrival"
"""Key: what shall stand in the address of the page that somebody has been sent to."""
NAVIGATED = "navigation"
"""Key: whether the navigation has been drawn."""


def navigation() -> Page:
    """Draw the navigation; returns the page to run."""
    st.session_state[NAVIGATED] = True
    # Without icons: Streamlit makes a page's icon the tab's, and fetches it from a server elsewhere.
    pages = [st.Page(PAGES / f"{name}.py", title=title, default=name == "home") for name, (title, _) in TITLES.items()]
    return st.navigation(pages, position="top")


def workspace() -> Workspace:
    """The workspace, by an absolute path: `$IISAN_WORKSPACE`, else `workspace` where the app was started."""
    return Workspace(Workspace.default().root.absolute())


def theme() -> Theme:
    """The theme that the visitor sees."""
    return "dark" if st.context.theme.type == "dark" else "light"


@contextmanager
def guarded(root: Path) -> Iterator[None]:
    """Show what goes wrong within the block as a sentence; what nobody foresaw goes to the log in `root`, too."""
    try:
        yield
    except IisanError as error:
        show_fault(error)
    except Exception as error:
        place = _noted(root, error)
        what = plain(f"{type(error).__name__}: {error}"[:300])
        st.error(
            f"Something went wrong that nobody foresaw ({what}). Reload the page; if it comes again, report it with "
            f"the end of the log {place}.",
            icon=":material/bug_report:",
        )


def show_fault(error: IisanError) -> None:
    """The sentence of a refusal or a failure."""
    st.error(sentence(capitalized(str(error))) + ".", icon=":material/error:")


def _noted(root: Path, error: Exception) -> str:
    try:
        _log(root).error("a page failed", exc_info=error)
    except OSError as refused:
        return plain(f"(which cannot be written: {refused.strerror})")
    return plain(str(root / LOG))


@st.cache_resource(max_entries=4, show_spinner=False)
def _log(root: Path) -> logging.Logger:
    root.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger(f"iisan.app.{root}")
    logger.propagate = False
    handler = RotatingFileHandler(root / LOG, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    return logger


def empty_state(what: str, remedy: str, *, icon: str, page: str | None = None, label: str = "", **query: str) -> None:
    """A place where nothing is yet: what would be here, what to do, and the page on which to do it.

    page   name of a page file, such as `data`; `query` stands in its address
    label  what the link to it says
    """
    with st.container(border=True, horizontal_alignment="center", gap="small"):
        st.space("small")
        st.markdown(f"### {icon} {plain(what)}", text_alignment="center")
        st.markdown(sentence(remedy), text_alignment="center")
        if page is not None:
            with st.container(horizontal=True, horizontal_alignment="center"):
                page_link(page, label=f"**{label}**" if label else "", **query)
        st.space("small")


def page_link(page: str, *, label: str = "", help: str | None = None, icon: str | None = None, **query: str) -> None:
    """A link to a page by the name of its file; `query` stands in the address there, such as `run="demo"`."""
    title, own = TITLES[page]
    st.page_link(
        PAGES / f"{page}.py",
        label=label or f"Go to {title}",
        icon=icon or own,
        width="content",
        help=help,
        query_params=query or None,
    )


def run_link(name: str) -> None:
    """A run's name as a link to its page."""
    page_link("runs", label=plain(name), run=name)


def dataset_link(name: str) -> None:
    """A dataset's name as a link to its page."""
    page_link("data", label=plain(name), dataset=name)


def leave_for(page: str, **query: str) -> NoReturn:
    """Leave for another page, or begin this one anew; `query` stands in the address there."""
    st.session_state[ARRIVING] = query  # the address itself must not be written here where a widget of this page does
    st.switch_page(PAGES / f"{page}.py")


def state_badge(state: str) -> None:
    """The state of a run, a job or a cache, coloured."""
    colour, icon = STATES[state]
    st.badge(state, color=colour, icon=icon)  # type: ignore[arg-type]


def facts(rows: Sequence[tuple[str, str, str]]) -> None:
    """Numbers in boxes side by side: of each its label, its value and, where there is one, a note on what it means."""
    for column, (label, value, note) in zip(st.columns(len(rows)), rows, strict=True):
        with column, st.container(border=True, height="stretch", gap="xxsmall"):
            st.metric(label, value)
            if note:
                st.caption(plain(note))


def draw_chart(figure: go.Figure, *, key: str) -> None:
    """A chart in its own look, without the toolbar's advertising."""
    st.plotly_chart(figure, theme=None, key=key, config={"displayModeBar": False})


def draw_charts(
    figures: Mapping[str, go.Figure], *, look: Mapping[str, Any], gap: Literal["small", "medium"] = "medium"
) -> None:
    """Charts by their keys, two in a row; `look` is laid over every one's layout."""
    listed = list(figures.items())
    for start in range(0, len(listed), 2):
        for column, (key, figure) in zip(st.columns(2, gap=gap), listed[start : start + 2], strict=False):
            with column:
                draw_chart(figure.update_layout(**look), key=key)
