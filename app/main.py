"""The workbench in a browser: `streamlit run app/main.py`, or `iisan app`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

HERE = Path(__file__).parent
PAGES = HERE / "pages"

st.set_page_config(page_title="IISAN Workbench", page_icon=HERE / "icon.png", layout="wide")
st.navigation(
    [
        st.Page(PAGES / "home.py", title="Home", icon=":material/home:", default=True),
        st.Page(PAGES / "data.py", title="Data", icon=":material/database:"),
        st.Page(PAGES / "backbones.py", title="Backbones", icon=":material/layers:"),
        st.Page(PAGES / "compare.py", title="Compare", icon=":material/leaderboard:"),
        st.Page(PAGES / "recommendations.py", title="Recommendations", icon=":material/recommend:"),
    ],
    position="top",
).run()
