"""Whom to recommend to, and what: a run's users, a history of one's own, the best items as cards, and the reasons."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import streamlit as st

from app.charts.palette import tower_colour
from app.formats import count, html_text, plain
from app.ui.cards import Card, facts_of, item_cards, picture_of, title_of
from app.ui.dataset import search_ranked
from app.ui.layout import draw_chart, theme
from app.ui.readers import RunFacts, Stamp, dataset_of, stamp
from app.ui.recommenders import Answer, answers, explanation, recommender_of
from app.ui.take_away import draw_take_away
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.evaluation.rank_table import read_rank_table

EXTREMES = 100
"""Users among the best, or worst, served."""
BY_LENGTH, COLD_TARGET, COLD = "By history length", "Cold target", "test_interactions"
GROUPS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "Random": lambda users: users,
    BY_LENGTH: lambda users: users,
    COLD_TARGET: lambda users: users.filter(pl.col(COLD) == 0),
    "Best served": lambda users: users.sort("test").head(EXTREMES),
    "Worst served": lambda users: users.sort("test", descending=True).head(EXTREMES),
}
NEWEST = 60
"""Cards of a history that are drawn."""
OFFERED = 18
"""Items to compose a history of, before a search is narrowed."""
ITEMS, MOST_COMPOSED = "items", 200
"""In the address: the items of the visitor's own history, and how many of them are taken from there."""
HISTORY, OPENED = "composed history", "opened recommendation"
"""Keys: the visitor's own history, and the run and item whose reasons are asked for."""
WIDE = 190
"""Pixels of a card where one list has the page for itself: five in a row at 1280."""


@dataclass(frozen=True)
class Audience:
    """The evaluated users of a run: `user_id`, `test` (rank of the true next item), `interactions`, and more."""

    users: pl.DataFrame

    @property
    def groups(self) -> list[str]:
        """The groups that can be told apart for this run."""
        return [name for name in GROUPS if name != COLD_TARGET or COLD in self.users.columns]

    def members(self, group: str, *, lengths: tuple[int, int]) -> pl.Series:
        """Ids of a group's users; `lengths` bounds the interactions where the group is about them."""
        users = GROUPS[group](self.users)
        if group == BY_LENGTH:
            users = users.filter(pl.col("interactions").is_between(*lengths))
        return users["user_id"]

    def row(self, user: str) -> dict[str, int | str]:
        """What is known of a user; raises `RefusedError` for one that the run did not evaluate."""
        found = self.users.filter(pl.col("user_id") == user)
        if found.is_empty():
            raise RefusedError(
                f"no user {user!r} among the {self.users.height:,} that the run was evaluated on; users look like "
                f"{self.users['user_id'][0]}, or take another one at random"
            )
        return found.to_dicts()[0]


def audience_of(run: RunFacts) -> Audience:
    """The users of a finished run."""
    dataset = dataset_of(run)
    changed = stamp(run.run.ranks, dataset.folder / "interactions.parquet")
    return _audience(str(run.run.ranks), changed, dataset.interactions)


@st.cache_resource(max_entries=8, show_spinner=False)
def _audience(ranks: str, changed: Stamp, _log: pl.DataFrame) -> Audience:
    lengths = _log.group_by("user_id").agg(interactions=pl.len().cast(pl.Int64))
    return Audience(read_rank_table(Path(ranks)).join(lengths, on="user_id", how="inner", maintain_order="left"))


def choose_user(audience: Audience, group: str) -> str | None:
    """One of a group's users, another at each press of a button; None where the group is empty."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        lengths = _choose_lengths(audience) if group == BY_LENGTH else (0, 0)
        members = audience.members(group, lengths=lengths)
        if members.is_empty():
            st.info("No user of this kind in this run.", icon=":material/person_off:")
            return None
        if st.session_state.get("group of user") != (group, lengths):
            given = st.session_state.get("user") or st.query_params.get("user")
            if "group of user" in st.session_state or not given:
                st.session_state["user"] = members[0]
            st.session_state["group of user"] = (group, lengths)
        if st.button("Another user", icon=":material/casino:", type="primary"):
            st.session_state["user"] = members[random.randrange(len(members))]
        user = st.text_input("User", key="user", bind="query-params", width=200)
        st.caption(f"{count(len(members), 'user')} in this group")
    return user.strip() or str(members[0])


def _choose_lengths(audience: Audience) -> tuple[int, int]:
    column = audience.users["interactions"]
    low, high = int(column.min()), int(column.max())  # type: ignore[arg-type]
    if low == high:
        return low, high
    found: tuple[int, int] = st.slider("Interactions", low, high, (low, high), key="lengths", width=280)
    return found


def draw_history(dataset: Dataset, history: Sequence[str], *, target: str | None = None) -> None:
    """What the user had, oldest first (of long histories the newest), and after it the item that really came next."""
    first = max(0, len(history) - NEWEST)
    if first:
        st.caption(f"The newest {NEWEST} of {count(len(history), 'item')}; none of them all is recommended again.")
    cards = [Card(item_id, corner=str(place)) for place, item_id in enumerate(history[first:], start=first + 1)]
    if target is not None:
        cards.append(Card(target, mark="next", tone="target"))
    item_cards(dataset, cards, key="history", layout="strip", newest=True)


def draw_composed(runs: Sequence[RunFacts], *, k: int, address: Mapping[str, object]) -> None:
    """Items to click, the history so far, and what the runs recommend after it; a link to it adds to `address`."""
    address = dict(address)
    dataset, ranked = dataset_of(runs[0]), recommender_of(runs[0]).item_ids
    known = set(ranked)
    if HISTORY not in st.session_state:
        st.session_state[HISTORY] = st.query_params.get_all(ITEMS)[:MOST_COMPOSED]
    history = [item_id for item_id in st.session_state[HISTORY] if item_id in known]
    if st.query_params.get_all(ITEMS) != history:
        st.query_params[ITEMS] = history
    if history:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown("**Your history** · click an item to take it out")
            st.button("Clear", icon=":material/delete_sweep:", on_click=_clear)
        cards = [Card(item_id, corner=str(n)) for n, item_id in enumerate(history, start=1)]
        item_cards(dataset, cards, key="composed", layout="strip", newest=True, action="Take out", on_click=_take_out)
        lists = draw_recommended(runs, history, k=k, ranks=[None] * len(runs))
        draw_take_away(runs, lists, user="", address=address | {ITEMS: history})
        st.divider()
    else:
        st.info("Click a few items that one and the same person might like.", icon=":material/touch_app:")
    offered = search_ranked(dataset, ranked, "Search items to add", key="compose search")[:OFFERED]
    item_cards(dataset, [Card(item_id) for item_id in offered], key="to add", action="Add", on_click=_add)


def _add(item_id: str) -> None:
    st.session_state[HISTORY] = [*st.session_state.get(HISTORY, []), item_id]


def _take_out(item_id: str) -> None:
    history = list(st.session_state.get(HISTORY, []))
    if item_id in history:
        history.remove(item_id)
    st.session_state[HISTORY] = history


def _clear() -> None:
    st.session_state[HISTORY] = []


def draw_recommended(
    runs: Sequence[RunFacts], history: Sequence[str], *, k: int, target: str | None = None, ranks: Sequence[int | None]
) -> dict[str, list[Answer]]:
    """The best `k` of every run, side by side; returns them by the run's name.

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
    return {run.name: answers(run, tuple(history), k=k) for run in runs}


def _draw_list(
    run: RunFacts, history: tuple[str, ...], *, k: int, target: str | None, rank: int | None, width: int | None
) -> None:
    found = answers(run, history, k=k)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(run.name)}**", width="content")
        if rank is not None:
            st.badge(f"true next item: rank {rank:,}", color="green" if rank <= k else "gray", icon=":material/flag:")
        _draw_legend(list(dict.fromkeys(name for answer in found for name in answer.parts)))
    _draw_passed_over(run, history)
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


def _draw_passed_over(run: RunFacts, history: tuple[str, ...]) -> None:
    """What of the history, and of the catalogue, the run does not know."""
    recommender = recommender_of(run)
    passed = len(recommender.passed_over(history))
    if passed == len(history):
        st.info("Nothing to recommend: no item of this history is in this run.", icon=":material/person_off:")
    elif passed:
        st.caption(f"{passed:,} of {count(len(history), 'item')} of the history are not in this run and passed over.")
    if recommender.unranked:
        st.caption(f"{count(recommender.unranked, 'item')} of the catalogue not in this run, never recommended by it.")


def _draw_legend(names: Sequence[str]) -> None:
    if names:
        swatches = "".join(
            f'<span style="display:inline-block;width:.7em;height:.7em;border-radius:3px;margin:0 .3em 0 .8em;'
            f'background:{tower_colour(name)}"></span>{html_text(name)}'
            for name in names
        )
        st.html(f'<div style="font-size:.8rem;opacity:.85">{swatches} · above the catalogue\'s mean</div>')


@st.dialog("Why this item", width="large")
def _why(run: RunFacts, item_id: str, history: tuple[str, ...]) -> None:
    dataset, reasons = dataset_of(run), explanation(run, item_id, history)
    facts = facts_of(dataset, [item_id, *history])
    titles = {known: title_of(row, known) for known, row in facts.items()}
    left, right = st.columns([1, 3], vertical_alignment="center")
    if image := picture_of(dataset, facts[item_id]):
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
    st.markdown("**Items that the model takes for alike**")
    recommender = recommender_of(run)
    alike = recommender.similar_items(item_id, k=min(8, len(recommender.item_ids) - 1))
    cards = [Card(similar.item_id, note=f"cosine {similar.cosine:.2f}") for similar in alike]
    item_cards(dataset, cards, key="alike", layout="strip")
