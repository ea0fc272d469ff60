"""A table of folders: a click on a name opens its page, ticked rows are what something is done with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from app.formats import count
from app.ui.handling import Kind
from app.ui.layout import leave_for

HEIGHT, ROW = 640, 36


def draw_named(
    table: pl.DataFrame,
    kind: Kind,
    *,
    page: str,
    width: int,
    config: Mapping[str, Any],
    alt: str,
    columns: Sequence[str] | None = None,
) -> list[int]:
    """Draw `table`, whose column `kind` has the names; returns which rows are ticked.

    page     what a click on a name opens, with `kind=NAME` in its address
    width    of the names, in pixels
    config   column → how streamlit shows it, beside those that all such tables have
    columns  which are shown, in this order; all where there are none
    """
    clicked, opened = f"open {kind}", f"opened {kind} of the table"

    def remember() -> None:
        st.session_state[opened] = table[kind][st.session_state[clicked]["row"]]

    state = st.dataframe(
        table,
        hide_index=True,
        column_order=columns,
        height=min(HEIGHT, ROW * (table.height + 1) + 3),
        column_config={
            kind: st.column_config.ButtonColumn(
                kind, type="tertiary", alignment="left", pinned=True, width=width, on_click=remember, key=clicked
            ),
            "tags": st.column_config.ListColumn("tags"),
            **config,
        },
        placeholder="–",
        on_select="rerun",
        selection_mode="multi-row",
        key=f"{kind} table",
        alt=alt,
    )
    if name := st.session_state.pop(opened, ""):
        leave_for(page, **{kind: name})
    return list(state["selection"]["rows"])


def say_how(kind: Kind, *, shown: int, total: int) -> None:
    """Where no row is ticked: how many there are, and what one can do."""
    st.caption(f"{shown:,} of {count(total, kind)} · click a name to open it, tick rows to do something with them")
