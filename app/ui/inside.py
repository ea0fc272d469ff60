"""Inside a trained model: similar items, learned gates, and the map of all items."""

from __future__ import annotations

import polars as pl
import streamlit as st

from app.charts.items import item_map
from app.charts.model import gates_chart
from app.formats import plain
from app.ui.cards import Card, facts_of, item_cards, title_of
from app.ui.dataset import search_ranked
from app.ui.layout import draw_chart, theme
from app.ui.readers import RunFacts, dataset_of, popularity_of
from app.ui.recommenders import gates, item_points, recommender_of
from iisan_core.data.dataset import Dataset

SHOWN = 12
LOOKED_AT = "looked at"
POPULARITY = "interactions"
MOST_VALUES = 60
"""A column with more kinds than that is text, and colours nothing."""
MOST_POINTS = 20_000


def draw_similar(run: RunFacts) -> None:
    """Search an item, click it, and see what lies near it; a click there goes on from there."""
    dataset, recommender = dataset_of(run), recommender_of(run)
    ranked = recommender.item_ids
    found = search_ranked(dataset, ranked, "Search an item", key="similar search")
    if not found:
        return
    cards = [Card(item_id) for item_id in found[:SHOWN]]
    item_cards(dataset, cards, key="to compare", layout="strip", action="Look near", on_click=_look_at)
    chosen = st.session_state.get(LOOKED_AT)
    chosen = chosen if chosen in set(ranked) else found[0]
    facts = facts_of(dataset, [chosen])[chosen]
    st.markdown(f"**Near “{plain(title_of(facts, chosen))}”** · click on to wander")
    near = recommender.similar_items(chosen, k=min(SHOWN - 1, len(ranked) - 1))
    cards = [Card(chosen, mark="this", tone="hit")]
    cards += [
        Card(item.item_id, corner=str(n), note=f"cosine {item.cosine:.2f}") for n, item in enumerate(near, start=1)
    ]
    item_cards(dataset, cards, key="near", action="Look near", on_click=_look_at)


def _look_at(item_id: str) -> None:
    st.session_state[LOOKED_AT] = item_id


def draw_gates(run: RunFacts) -> None:
    """What every block of every tower lets in."""
    found = gates(run)
    if not found:
        st.info("This model has no gates: it reads the last layers, or ids, alone.", icon=":material/tune:")
        return
    st.caption(
        "An intra tower mixes each kept layer of the frozen backbone with what it has made so far; the inter tower "
        "mixes the modalities. At the start every gate stands at one half."
    )
    for column, tower in zip(st.columns(len(found)), found, strict=True):
        blocks = len(next(iter(tower.shares.values())))
        labels = _layer_labels(run, tower.tower, blocks)
        with column:
            draw_chart(gates_chart(tower.shares, labels, title=tower.tower, theme=theme()), key=f"gates {tower.tower}")


def _layer_labels(run: RunFacts, tower: str, blocks: int) -> list[str]:
    """The layers that each block reads, where the results name them; else the blocks' numbers."""
    named = (run.results or {})["data"].get("backbones", {})
    layers = {name: facts["layers"][-blocks:] for name, facts in named.items() if "layers" in facts}
    if tower in layers:
        return [f"layer {layer}" for layer in layers[tower]]
    pairs = zip(*layers.values(), strict=True) if layers else ()
    labels = [" + ".join(map(str, pair)) for pair in pairs]
    return [f"layers {label}" for label in labels] or [f"block {n}" for n in range(1, blocks + 1)]


def draw_map(run: RunFacts) -> None:
    """Every item on a plane; a click on a point shows the item."""
    dataset = dataset_of(run)
    points, held = item_points(run)
    facts = dataset.items.join(popularity_of(dataset), on="item_id").rename({"count": POPULARITY})
    left, right = st.columns([1, 3], vertical_alignment="bottom")
    colour = str(left.selectbox("Colour", [POPULARITY, *_kinds(dataset)], key="colour"))
    right.caption(
        f"Item vectors of {plain(run.name)} on their first two principal components, which hold {held:.0%} of the "
        "variance. Hover a point for its title; click it for its picture."
    )
    table = points.join(facts.select("item_id", "title", colour), on="item_id", maintain_order="left")
    if table.height > MOST_POINTS:
        table = table.sample(MOST_POINTS, seed=0)
        st.caption(f"{MOST_POINTS:,} of {points.height:,} items are drawn, chosen at random.")
    _draw_points(dataset, table, colour)


def _draw_points(dataset: Dataset, table: pl.DataFrame, colour: str) -> None:
    left, right = st.columns([4, 1])
    with left:
        chosen = st.plotly_chart(
            item_map(table, colour=colour, theme=theme()),
            theme=None,
            key="map",
            on_select="rerun",
            selection_mode="points",
        )
    picked = [point["customdata"][0] for point in chosen["selection"]["points"] if point.get("customdata")]
    with right:
        if picked:
            item_cards(dataset, [Card(item_id) for item_id in picked[:3]], key="picked")
        else:
            st.caption("Click a point to see its picture here.")


def _kinds(dataset: Dataset) -> list[str]:
    """Text columns with few enough values to be kinds."""
    return [c for c in dataset.text_columns if c != "title" and 1 < dataset.items[c].n_unique() <= MOST_VALUES]
