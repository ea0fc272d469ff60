"""The workbench in a browser: `streamlit run app/main.py`, or `iisan app`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.ui.layout import navigation, workspace
from app.ui.warming import warm_up

st.set_page_config(page_title="IISAN Workbench", page_icon=Path(__file__).parent / "icon.png", layout="wide")
navigation().run()
warm_up(workspace())
