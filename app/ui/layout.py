"""What all pages have: the workspace, the theme, a header, an error guard, and empty states.

The pages and their order.

Errors on a page: one sentence and a remedy, never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pandas  # noqa: F401
import plotly.graph_objects as go
import streamlit as st
from streamlit.navigation.page import Page

from app.formats import plain, sentence
from iisan_core.charts.palette import Theme
from iisan_core.errors import IisanError
from iisan_core.workspace import VARIABLE, Workspace

# Before anything is drawn: Streamlit imports it with the first table, and what plotly draws meanwhile for another
# visitor fails.


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


PAGES = Path(__file__).parents[1] / "pages"
TITLES = {
    "home": ("Home", ":material/home:"),
    "data": ("Data", ":material/database:"),
    "backbones": ("Backbones", ":material/layers:"),
    "train": ("Train", ":material/model_training:"),
    "compare": ("Compare", ":material/leaderboard:"),
    "recommendations": ("Recommendations", ":material/recommend:"),
}
_DONE = "navigation"


def navigation() -> Page:
    """Draw the navigation; returns the page to run."""
    st.session_state[_DONE] = True
    # Without icons: Streamlit makes a page's icon the tab's, and fetches it from a server elsewhere.
    pages = [
        st.Page(PAGES / f"{name}.py", title=title, default=name == "home")
        for name, (title, _) in TITLES.items()
        if (PAGES / f"{name}.py").is_file()
    ]
    return st.navigation(pages, position="top")


def run_through_main() -> None:
    """Start over with the navigation where a page was run by itself.

    Streamlit does so on a fresh server's first request, because the folder is called `pages`, until it has seen a
    navigation.
    """
    if _DONE not in st.session_state:
        navigation()
        st.rerun()


LOG = "app.log"
LOG_BYTES = 1_000_000


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
    said = str(error)
    st.error(sentence(said[:1].upper() + said[1:]) + ".", icon=":material/error:")


def _noted(root: Path, error: Exception) -> str:
    try:
        logger = _log(root)
        logger.error("a page failed", exc_info=error)
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
