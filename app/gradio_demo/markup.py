"""HTML of the demo. Whatever comes from data or from users passes `text`, and is shown as it is."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.charts.palette import BAD, GOOD, tower_colour
from app.formats import discreet
from iisan_core.errors import IisanError
from iisan_core.serving.explanation import Contribution

LONGEST_TEXT = 300
SPOKEN = {
    "image": "its picture",
    "text": "its text",
    "joint": "its picture and text together",
    "inter": "the combination",
    "ids": "its audience",
    "frozen image": "its likeness in pictures",
    "frozen text": "its likeness in words",
    "frozen joint": "its likeness as a whole",
    "together": "the company it keeps",
}
"""What a part of the score means, in words."""


def in_words(part: str) -> str:
    """What a part of the score means."""
    return SPOKEN.get(part, part)


def text(value: str) -> str:
    """Text for HTML; braces and dollars, too, for the page's own templates read them."""
    shown = value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + "…"
    escaped = html.escape(shown)
    for sign in "{}$`":
        escaped = escaped.replace(sign, f"&#{ord(sign)};")
    return escaped


@dataclass(frozen=True)
class Card:
    """An item as it is shown: a picture, what stands under it, and what a click does."""

    item_id: str
    title: str
    picture: str | None
    action: str = ""
    """Name of the event's action; none: the card is no button."""
    hint: str = ""
    """What a click does, for the ear and on hover."""
    badge: str = ""
    note: str = ""
    parts: Sequence[Contribution] = ()
    marked: bool = False


def cards(shown: Iterable[Card], *, layout: str = "grid", empty: str = "") -> str:
    """Cards side by side; `layout` is `grid`, `small` or `strip`. `empty` is the sentence where there are none."""
    listed = list(shown)
    if not listed:
        return sentence(empty)
    scale = Scale.of([side for card in listed for side in _sides(card.parts)])
    return f'<div class="cards {layout}">{"".join(_card(card, scale) for card in listed)}</div>'


def sentence(words: str, *, kind: str = "hint") -> str:
    """A line of plain words; `kind` is `hint` or `refused`."""
    role = ' role="alert"' if kind == "refused" else ""
    return f'<p class="sentence {kind}"{role}>{text(words)}</p>'


def refusal(error: IisanError) -> str:
    """A refusal as a visitor reads it: a plain sentence, with a capital at its beginning and a stop at its end."""
    words = discreet(error)
    return sentence(words[:1].upper() + words[1:] + ("" if words.endswith(".") else "."), kind="refused")


def image(address: str | None) -> str:
    """A picture beside words that say what it shows; nothing where there is none."""
    return f'<img src="{address}" alt="">' if address else ""


def heading(title: str, note: str = "") -> str:
    """A small heading with a quiet note beside it."""
    return f'<h3 class="heading">{text(title)}<span>{text(note)}</span></h3>'


def _card(card: Card, scale: Scale) -> str:
    tag = "button" if card.action else "div"
    does = f' type="button" data-item="{text(card.item_id)}" data-action="{text(card.action)}"' if card.action else ""
    label = f"{card.hint}: {card.title}" if card.hint else card.title
    if card.picture:
        picture, name = image(card.picture), f'<span class="name">{text(card.title)}</span>'
    else:  # the title stands in for the picture; twice would be once too often
        picture, name = f'<span class="none"><span class="name">{text(card.title)}</span></span>', ""
    under = name + _tagged("note", card.note) + (stacked(card.parts, scale) if card.parts else "")
    return (
        f'<{tag} class="card{" marked" if card.marked else ""}"{does} aria-label="{text(label)}" title="{text(label)}">'
        f'<span class="picture">{picture}{_tagged("badge", card.badge)}</span>'
        f"{_tagged_html('under', under)}</{tag}>"
    )


def _tagged(name: str, words: str) -> str:
    return _tagged_html(name, text(words))


def _tagged_html(name: str, inside: str) -> str:
    return f'<span class="{name}">{inside}</span>' if inside else ""


def ranking(parts: Sequence[Contribution]) -> list[Contribution]:
    """The parts that differ between items."""
    return [part for part in parts if part.name != "bias"]


def _sides(parts: Sequence[Contribution]) -> list[float]:
    """How far a stacked bar goes to the left of zero, and to the right."""
    above = [part.above_mean for part in ranking(parts)]
    return [sum(v for v in above if v < 0), sum(v for v in above if v > 0)]


@dataclass(frozen=True)
class Scale:
    """Where values lie on a bar, in percent of its length."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Scale:
        """From the smallest to the largest value, 0 included."""
        listed = [0.0, *values]
        low, high = min(listed), max(listed)
        return cls(low, high if high > low else low + 1)

    def at(self, value: float) -> float:
        """The place of a value."""
        return 100 * (value - self.low) / (self.high - self.low)

    def piece(self, start: float, stop: float, colour: str) -> str:
        """A piece of a bar between two values."""
        left, right = sorted((self.at(start), self.at(stop)))
        return f'<i style="left:{left:.2f}%;width:{right - left:.2f}%;background:{colour}"></i>'

    @property
    def zero(self) -> str:
        """The line at 0."""
        return f'<u style="left:{self.at(0):.2f}%"></u>'


def stacked(parts: Sequence[Contribution], scale: Scale) -> str:
    """One bar: parts above the catalogue's mean to the right of 0, parts below it to the left."""
    pieces, ends = [], {True: 0.0, False: 0.0}
    for part in ranking(parts):
        up = part.above_mean >= 0
        pieces.append(scale.piece(ends[up], ends[up] + part.above_mean, tower_colour(part.name)))
        ends[up] += part.above_mean
    spoken = text(", ".join(f"{in_words(p.name)} {p.above_mean:+.2f}" for p in ranking(parts)))
    inside = "".join(pieces) + scale.zero
    return f'<span class="stacked" role="img" aria-label="{spoken}" title="{spoken}">{inside}</span>'


@dataclass(frozen=True)
class Bar:
    """One row of a bar chart."""

    name: str
    value: float
    colour: str
    picture: str | None = None


def part_bars(parts: Sequence[Contribution]) -> list[Bar]:
    """One bar for each part that differs between items."""
    return [Bar(in_words(p.name), p.above_mean, tower_colour(p.name)) for p in ranking(parts)]


def sign_colour(value: float) -> str:
    """Green for what lifts a score, vermilion for what lowers it."""
    return GOOD if value >= 0 else BAD


def bars(rows: Sequence[Bar]) -> str:
    """Horizontal bars from a common 0, each with its number."""
    scale = Scale.of(row.value for row in rows)
    return f'<div class="bars">{"".join(_bar(row, scale) for row in rows)}</div>'


def _bar(row: Bar, scale: Scale) -> str:
    inside, name = scale.piece(0, row.value, row.colour) + scale.zero, text(row.name)
    return (
        f'<div class="row"><span class="label" title="{name}">{image(row.picture)}<b>{name}</b></span>'
        f'<span class="track">{inside}</span><span class="number">{row.value:+.2f}</span></div>'
    )


def columns(blocks: Sequence[str]) -> str:
    """Blocks side by side, where there is room."""
    return f'<div class="columns">{"".join(f"<section>{block}</section>" for block in blocks)}</div>'


def legend(names: Iterable[str]) -> str:
    """What the colours of the stacked bars mean."""
    dots = [
        f'<span><i style="background:{tower_colour(name)}"></i>{text(in_words(name))}</span>'
        for name in names
        if name != "bias"
    ]
    return f'<div class="legend">{"".join(dots)}</div>'
