"""A history that the visitor composes by clicking items."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.widgets.browse import matching
from app.widgets.cards import Card, item_cards
from app.widgets.reading import RunFacts
from app.widgets.recommended import dataset_of, draw_recommended
from app.widgets.recommending import recommender_of
from iisan_core.data.dataset import Dataset

SHOWN = 18
HISTORY = "composed history"


def draw_composed(runs: Sequence[RunFacts], *, k: int) -> None:
    """Items to click, the history so far, and what the runs recommend after it."""
    dataset = dataset_of(runs[0])
    history = [i for i in st.session_state.get(HISTORY, []) if i in set(recommender_of(runs[0]).item_ids)]
    if history:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown("**Your history** · click an item to take it out")
            st.button("Clear", icon=":material/delete_sweep:", on_click=_clear)
        cards = [Card(item_id, corner=str(n)) for n, item_id in enumerate(history, start=1)]
        item_cards(dataset, cards, key="composed", layout="strip", newest=True, action="Take out", on_click=_take_out)
        draw_recommended(runs, history, k=k, ranks=[None] * len(runs))
        st.divider()
    else:
        st.info("Click a few items that one and the same person might like.", icon=":material/touch_app:")
    _draw_catalogue(dataset, runs[0])


def _draw_catalogue(dataset: Dataset, run: RunFacts) -> None:
    words = st.text_input(
        "Search items to add", key="compose search", icon=":material/search:", placeholder="linen, mug …"
    )
    ranked = set(recommender_of(run).item_ids)
    found = [i for i in matching(dataset, words, order="Most popular", only="All items")["item_id"] if i in ranked]
    if not found:
        st.info("No item meets this; shorten the search.", icon=":material/search_off:")
    cards = [Card(item_id) for item_id in found[:SHOWN]]
    item_cards(dataset, cards, key="to add", action="Add", on_click=_add)


def _add(item_id: str) -> None:
    st.session_state[HISTORY] = [*st.session_state.get(HISTORY, []), item_id]


def _take_out(item_id: str) -> None:
    history = list(st.session_state.get(HISTORY, []))
    if item_id in history:
        history.remove(item_id)
    st.session_state[HISTORY] = history


def _clear() -> None:
    st.session_state[HISTORY] = []
