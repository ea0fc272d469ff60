"""The workbench in a browser: `streamlit run app/main.py`, or `iisan app`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.widgets.navigation import navigation

page = navigation()
# After the navigation: its icons would become the tab's, and those come from a server elsewhere.
st.set_page_config(page_title="IISAN Workbench", page_icon=Path(__file__).parent / "icon.png", layout="wide")
page.run()
