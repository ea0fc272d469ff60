"""The pages and their order."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import Page

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
