"""Item cards: a grid or a strip of pictures with titles, scores, and a score's parts as a small stacked bar."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from app.charts.palette import tower_colour
from app.pictures import thumbnail
from app.ui.readers import Stamp, stamp
from iisan_core.data.dataset import Dataset

HERE = Path(__file__).parent
WIDTH = {"grid": 150, "strip": 104}
"""Pixels of a card, unless told; in a grid at least that."""
SIDE = 224
"""Pixels of a picture's longest side: sharp on cards of up to that size."""

_mount = st.components.v2.component(
    "iisan_cards",
    html='<div class="cards"></div>',
    css=(HERE / "cards.css").read_text(encoding="utf-8"),
    js=(HERE / "cards.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Card:
    """One item, and what is said about it."""

    item_id: str
    note: str = ""
    """A short line under the title, such as the score."""
    corner: str = ""
    """In the picture's left corner, such as the rank."""
    mark: str = ""
    """In the picture's right corner."""
    tone: Literal["", "hit", "target"] = ""
    parts: Mapping[str, float] | None = None
    """Part of the score → how far it stands above the catalogue's mean."""


def item_cards(
    dataset: Dataset,
    cards: Sequence[Card],
    *,
    key: str,
    layout: Literal["grid", "strip"] = "grid",
    width: int | None = None,
    newest: bool = False,
    action: str = "",
    on_click: Callable[[str], None] | None = None,
) -> None:
    """Draw the cards.

    width     of a card, at least, in pixels
    newest    a strip begins at its end
    action    what a click does, for the ear; needed with `on_click`
    on_click  called with the item's id, before the page is drawn again
    """
    facts = facts_of(dataset, [card.item_id for card in cards])
    drawn = [_drawn(dataset, card, facts.get(card.item_id, {})) for card in cards]
    scale = max((_reach(card.parts) for card in cards if card.parts), default=1.0) or 1.0
    data = {
        "layout": layout,
        "newest": newest,
        "width": width or WIDTH[layout],
        "clickable": on_click is not None,
        "action": action,
        "scale": scale,
        "pictures": any(card["image"] for card in drawn),
        "cards": drawn,
    }

    def clicked() -> None:
        found = st.session_state[key].get("clicked")
        if found and on_click:
            on_click(found["item"])

    _mount(key=key, data=data, on_clicked_change=clicked)


def facts_of(dataset: Dataset, item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Item id → its row of the catalogue."""
    rows = dataset.items.filter(dataset.items["item_id"].is_in(list(set(item_ids))))
    return {row["item_id"]: row for row in rows.to_dicts()}


def title_of(facts: Mapping[str, Any], item_id: str) -> str:
    """An item's title, or its id."""
    return str(facts.get("title") or item_id)


def picture_of(dataset: Dataset, facts: Mapping[str, Any]) -> str | None:
    """An item's picture as a `data:` address; None where there is none, or none that can be read."""
    if not facts.get("image"):
        return None
    path = dataset.folder / facts["image"]
    return _picture(str(path), stamp(path))


@st.cache_data(max_entries=3000, show_spinner=False)
def _picture(path: str, changed: Stamp) -> str | None:
    return thumbnail(Path(path), side=SIDE)


def _reach(parts: Mapping[str, float]) -> float:
    values = parts.values()
    return max(sum(v for v in values if v > 0), -sum(v for v in values if v < 0))


def _drawn(dataset: Dataset, card: Card, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": card.item_id,
        "title": title_of(facts, card.item_id),
        "title_missing": not facts.get("title"),
        "image": picture_of(dataset, facts),
        "note": card.note,
        "corner": card.corner,
        "mark": card.mark,
        "tone": card.tone,
        "parts": [
            {"name": name, "value": value, "colour": tower_colour(name)} for name, value in (card.parts or {}).items()
        ],
    }
