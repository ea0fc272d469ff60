"""What a dataset holds: counts, charts and checks, its items as picture cards, a user's sequence as a strip."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil

import polars as pl
import streamlit as st

from app.charts.dataset import coverage_chart, length_chart, lorenz_chart, popularity_chart, time_chart
from app.formats import capitalized, count, plain, sentence
from app.ui.cards import Card, facts_of, item_cards, title_of
from app.ui.layout import draw_charts, facts, theme
from app.ui.readers import dataset_findings, dataset_statistics, distributions_of, popularity_of
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError

MOST_POPULAR = 10
CHARTS = {
    "lengths": ("How long users' histories are", length_chart),
    "popularity": ("How popular items are", popularity_chart),
    "time": ("When it happened", time_chart),
    "coverage": ("What items are known by", coverage_chart),
    "inequality": ("How unequal popularity is", lorenz_chart),
}
"""Table → title and chart."""
LOOK = {"height": 300, "legend": {"x": 1, "xanchor": "right", "y": 0, "yanchor": "bottom"}}
"""The legend stands within the chart: above it is the title."""
BOXES = {
    "error": (st.error, ":material/error:"),
    "warning": (st.warning, ":material/warning:"),
    "note": (st.info, ":material/info:"),
}
PAGE = 24
"""Cards on a page."""
ORDERS = {
    "Catalogue": None,
    "Most popular": ("count", True),
    "Least popular": ("count", False),
    "Title": ("title", False),
}
"""Order → column, and whether it goes down."""
LONGEST_STRIP = 60
SECONDS_FROM, MILLISECONDS_FROM = 10**8, 10**11
"""Timestamps from here on are taken for seconds, or milliseconds, since 1970; smaller ones are positions."""
OPENED = "opened item"


def draw_overview(dataset: Dataset) -> None:
    """Counts, the most popular items, charts, and where the data came from."""
    known = dataset_statistics(dataset.folder)
    facts(
        [
            ("Items", f"{known.items:,}", f"{known.items - known.items_without_image:,} with a picture"),
            ("Users", f"{known.users:,}", f"{known.kept_users:,} long enough to train on"),
            ("Interactions", f"{known.interactions:,}", f"{known.kept_interactions:,} kept by the protocol"),
            ("Cold test targets", f"{known.cold_test_targets:,}", "users whose last item nobody had before"),
        ]
    )
    st.subheader("Most popular", anchor=False)
    popular = popularity_of(dataset).sort("count", descending=True, maintain_order=True).head(MOST_POPULAR)
    cards = [Card(item_id, corner=f"{n:,}×") for item_id, n in popular.iter_rows()]
    item_cards(dataset, cards, key="popular", layout="strip")
    _draw_charts(dataset)
    _draw_origin(dataset)


def _draw_charts(dataset: Dataset) -> None:
    tables = distributions_of(dataset)
    drawn = [draw(tables[name], title=title, theme=theme()) for name, (title, draw) in CHARTS.items() if name in tables]
    draw_charts({f"distribution {number}": chart for number, chart in enumerate(drawn)}, look=LOOK)


def _draw_origin(dataset: Dataset) -> None:
    card = dataset.card
    with st.expander("Where it came from, and what was left out", icon=":material/history:"):
        st.markdown(f"**Source** {plain(card.source)}  \n**Folder** {plain(str(dataset.folder))}")
        rows = [(name, n, "dropped") for name, n in card.dropped.items() if n]
        rows += [(name, n, "kept, but wanting") for name, n in card.reported.items() if n]
        if rows:
            table = [{"what": n.replace("_", " "), "count": c, "": how} for n, c, how in rows]
            st.dataframe(table, hide_index=True, width="content")
        else:
            st.caption("Nothing was left out, and nothing is wanting.")


def draw_checks(dataset: Dataset) -> None:
    """Findings, errors first, each with its remedy."""
    findings = dataset_findings(dataset.folder)
    if not findings:
        st.success("Nothing to report: the dataset is ready for training.", icon=":material/check_circle:")
    for found in findings:
        box, icon = BOXES[found.severity]
        box(f"**{found.count:,} {plain(found.what)}.** {sentence(capitalized(found.remedy))}.", icon=icon)


def browse_items(dataset: Dataset) -> None:
    """Search, order and leaf through the catalogue; a click shows an item in full."""
    left, middle, right = st.columns([4, 2, 2], vertical_alignment="bottom")
    words = left.text_input(
        "Search titles and ids", key="search", placeholder="linen, P0042, …", icon=":material/search:"
    )
    order = middle.selectbox("Order", list(ORDERS), key="order")
    only = right.selectbox("Show", ["All items", "Without picture", "Without title"], key="only")
    found = _matching(dataset, words, order=order, only=only)
    if found.is_empty():
        st.info("No item meets this. Shorten the search, or show all items.", icon=":material/search_off:")
        return
    pages = ceil(found.height / PAGE)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(f"{count(found.height, 'item')} of {dataset.items.height:,}")
        page = st.pagination(pages, key=f"page of {words} {order} {only}") if pages > 1 else 1
    shown = found.slice((page - 1) * PAGE, PAGE)
    cards = [
        Card(item_id, note=f"bought {n:,}×" if n else "nobody yet")
        for item_id, n in shown.select("item_id", "count").iter_rows()
    ]
    item_cards(dataset, cards, key="catalogue", action="Show", on_click=_open)
    _show_opened(dataset)


def search_ranked(dataset: Dataset, ranked: Sequence[str], label: str, *, key: str) -> list[str]:
    """A search of the items that a run ranks: those that hold all words, the most popular first."""
    words = st.text_input(label, key=key, icon=":material/search:", placeholder="linen, mug …")
    among = set(ranked)
    found = [item_id for item_id in _matching(dataset, words, order="Most popular")["item_id"] if item_id in among]
    if not found:
        st.info("No item meets this; shorten the search.", icon=":material/search_off:")
    return found


def _matching(dataset: Dataset, words: str, *, order: str, only: str = "All items") -> pl.DataFrame:
    """Items whose id or texts hold all `words`, with the column `count`, in the asked order."""
    items = dataset.items.join(popularity_of(dataset), on="item_id", how="left", maintain_order="left")
    texts = pl.concat_str(["item_id", *dataset.text_columns], separator=" ", ignore_nulls=True).str.to_lowercase()
    for word in words.lower().split():
        items = items.filter(texts.str.contains(word, literal=True))
    if only != "All items":
        items = items.filter(pl.col("image" if only == "Without picture" else "title").is_null())
    by = ORDERS[order]
    return items.sort(by[0], descending=by[1], nulls_last=True, maintain_order=True) if by else items


def browse_users(dataset: Dataset) -> None:
    """A user's whole sequence, oldest first."""
    users = dataset.interactions["user_id"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if st.button("Another user", icon=":material/casino:"):
            st.session_state["user"] = users[random.randrange(len(users))]
        user = st.text_input("User", key="user", placeholder=str(users[0]), bind="query-params", width=260)
    user = user.strip() or str(users[0])
    log = dataset.interactions.filter(pl.col("user_id") == user)
    if log.is_empty():
        raise RefusedError(f"no user {user!r} in this dataset; users look like {users[0]}, or take another at random")
    st.markdown(f"**{plain(user)}** · {count(log.height, 'interaction')}, oldest first")
    if log.height > LONGEST_STRIP:
        st.caption(f"The newest {LONGEST_STRIP} are shown.")
    rows = log.tail(LONGEST_STRIP).select("item_id", "timestamp").iter_rows()
    cards = [Card(item_id, note=_moment(timestamp)) for item_id, timestamp in rows]
    item_cards(dataset, cards, key="sequence", layout="strip", newest=True, action="Show", on_click=_open)
    _show_opened(dataset)


def _moment(timestamp: int) -> str:
    """A timestamp as a date, or as the position that it is."""
    if timestamp < SECONDS_FROM:
        return f"no. {timestamp + 1}"
    seconds = timestamp / 1000 if timestamp >= MILLISECONDS_FROM else timestamp
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%d %b %Y")


def _open(item_id: str) -> None:
    st.session_state[OPENED] = item_id


def _show_opened(dataset: Dataset) -> None:
    if opened := st.session_state.pop(OPENED, None):
        _item_in_full(dataset, opened)


@st.dialog("Item", width="medium")
def _item_in_full(dataset: Dataset, item_id: str) -> None:
    known = facts_of(dataset, [item_id])[item_id]
    left, right = st.columns([2, 3])
    with left:
        if known.get("image") and (dataset.folder / known["image"]).is_file():
            st.image(str(dataset.folder / known["image"]), width="stretch", alt=title_of(known, item_id))
        else:
            st.info("This item has no picture.", icon=":material/hide_image:")
    with right:
        st.markdown(f"**{plain(title_of(known, item_id))}**")
        st.caption(plain(item_id))
        for column in dataset.text_columns:
            if column != "title" and known.get(column):
                st.markdown(f"**{plain(column)}**  \n{plain(known[column])}")
        counts = popularity_of(dataset).filter(pl.col("item_id") == item_id)["count"]
        st.metric("Interactions", f"{counts.sum():,}")
