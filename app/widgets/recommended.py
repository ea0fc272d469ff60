"""Recommendations as pictures: the history as a strip, the best items as cards with the split of their scores."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.charts.palette import tower_colour
from app.widgets.cards import Card, facts_of, item_cards, title_of
from app.widgets.page import draw_chart, theme
from app.widgets.pictures import thumbnail
from app.widgets.reading import RunFacts, read_dataset
from app.widgets.recommending import answers, explanation, recommender_of
from app.widgets.text import plain
from iisan_core.data.dataset import Dataset

OPENED = "opened recommendation"
WIDE = 190
"""Pixels of a card where one list has the page for itself: five in a row at 1280."""


def dataset_of(run: RunFacts) -> Dataset:
    """The dataset that a run was trained on."""
    assert run.config is not None, "only finished runs come here"
    return read_dataset(run.config.dataset)


def draw_history(dataset: Dataset, history: Sequence[str], *, target: str | None = None) -> None:
    """What the user had, oldest first, and after it the item that really came next."""
    cards = [Card(item_id, corner=str(place)) for place, item_id in enumerate(history, start=1)]
    if target is not None:
        cards.append(Card(target, mark="next", tone="target"))
    item_cards(dataset, cards, key="history", layout="strip", newest=True)


def draw_recommended(
    runs: Sequence[RunFacts], history: Sequence[str], *, k: int, target: str | None = None, ranks: Sequence[int | None]
) -> None:
    """The best `k` of every run, side by side.

    target  the item that really came next, marked wherever it is
    ranks   its rank in each run, where that is known
    """
    width = WIDE if len(runs) == 1 else None
    for run, rank, column in zip(runs, ranks, st.columns(len(runs), gap="medium"), strict=True):
        with column:
            _draw_list(run, tuple(history), k=k, target=target, rank=rank, width=width)
    opened = st.session_state.pop(OPENED, None)
    if opened:
        name, item_id = opened
        _why(next(run for run in runs if run.name == name), item_id, tuple(history))


def _draw_list(
    run: RunFacts, history: tuple[str, ...], *, k: int, target: str | None, rank: int | None, width: int | None
) -> None:
    found = answers(run, history, k=k)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(run.name)}**", width="content")
        if rank is not None:
            st.badge(f"true next item: rank {rank:,}", color="green" if rank <= k else "gray", icon=":material/flag:")
        _draw_legend(list(dict.fromkeys(name for answer in found for name in answer.parts)))
    cards = [
        Card(
            answer.item_id,
            corner=str(place),
            note=f"score {answer.score:.2f}",
            mark="next" if answer.item_id == target else "",
            tone="hit" if answer.item_id == target else "",
            parts=answer.parts,
        )
        for place, answer in enumerate(found, start=1)
    ]

    def opened(item_id: str) -> None:
        st.session_state[OPENED] = (run.name, item_id)

    item_cards(dataset_of(run), cards, key=f"best of {run.name}", width=width, action="Why", on_click=opened)


def _draw_legend(names: Sequence[str]) -> None:
    if names:
        swatches = "".join(
            f'<span style="display:inline-block;width:.7em;height:.7em;border-radius:3px;margin:0 .3em 0 .8em;'
            f'background:{tower_colour(name)}"></span>{name}'
            for name in names
        )
        st.html(f'<div style="font-size:.8rem;opacity:.85">{swatches} · above the catalogue\'s mean</div>')


@st.dialog("Why this item", width="large")
def _why(run: RunFacts, item_id: str, history: tuple[str, ...]) -> None:
    dataset = dataset_of(run)
    reasons = explanation(run, item_id, history)
    titles = {i: title_of(facts, i) for i, facts in facts_of(dataset, [item_id, *history]).items()}
    left, right = st.columns([1, 3], vertical_alignment="center")
    image = thumbnail(dataset.folder, facts_of(dataset, [item_id])[item_id].get("image"))
    if image:
        left.image(image, width="stretch", alt=titles[item_id])
    right.markdown(f"**{plain(titles[item_id])}**")  # a heading would be smaller than this in a dialog
    right.caption(f"{plain(item_id)} · score {reasons.score:.3f} · run {plain(run.name)}")
    # These charts read the library's records, and with them torch, which only this page needs.
    from app.charts.explanation import influence_chart, parts_chart

    draw_chart(parts_chart(reasons.parts, title="What each part adds", theme=theme()), key="parts")
    st.caption(
        "Only the distance from the catalogue's mean ranks items. “inter” holds what picture and text say together, so "
        "part of either is in it."
    )
    if reasons.influences:
        chart = influence_chart(reasons.influences, titles, title="What each item of the history adds", theme=theme())
        draw_chart(chart, key="influence")
    _draw_similar(run, dataset, item_id)


def _draw_similar(run: RunFacts, dataset: Dataset, item_id: str) -> None:
    st.markdown("**Items that the model takes for alike**")
    found = recommender_of(run).similar_items(item_id, k=min(8, len(recommender_of(run).item_ids) - 1))
    cards = [Card(similar.item_id, note=f"cosine {similar.cosine:.2f}") for similar in found]
    item_cards(dataset, cards, key="alike", layout="strip")
