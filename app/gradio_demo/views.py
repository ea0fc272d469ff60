"""The demo's answers as HTML."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from PIL import Image

from app.gradio_demo.catalogue import Catalogue, Run, as_address, newest
from app.gradio_demo.markup import (
    Bar,
    Card,
    bars,
    cards,
    heading,
    image,
    in_words,
    legend,
    part_bars,
    ranking,
    sentence,
    sign_colour,
    text,
)
from iisan_core.serving.explanation import Explanation
from iisan_core.serving.retrieval import Similar, UserRank

NEWEST_SHOWN = 4
HISTORY_SHOWN = 60
"""Cards of a history; what is older counts like the rest."""


def history_view(catalogue: Catalogue, history: Sequence[str]) -> str:
    """The history, newest first; a click removes."""
    shown = [
        Card(item, catalogue.title(item), catalogue.picture(item), action="remove", hint="Remove from the history")
        for item in newest(history, most=HISTORY_SHOWN)
    ]
    older = len(history) - len(shown)
    further = f" · {older:,} older ones count, too" if older else ""
    top = heading("History", f"newest first; click an item to take it out{further}")
    return top + cards(shown, layout="strip", empty="Nothing yet. Click pictures below, or begin with a sample user.")


def search_view(catalogue: Catalogue, found: Sequence[str], query: str) -> str:
    """Items to add; a click adds."""
    shown = [
        Card(item, catalogue.title(item), catalogue.picture(item), action="add", hint="Add to the history")
        for item in found
    ]
    return cards(shown, empty=f"No title holds all of “{query}”. Try fewer words.")


def recommended_view(run: Run, answers: Sequence[Explanation], *, chosen: str | None, also: Collection[str]) -> str:
    """Recommendations with score and reason; `also` are those that the other run recommends, too."""
    shown = [
        Card(
            why.item_id,
            run.catalogue.title(why.item_id),
            run.catalogue.picture(why.item_id),
            action="why",
            hint="Say why",
            badge=f"{place} · in both" if why.item_id in also else str(place),
            note=f"{why.score:.2f} · {_leading_reason(why)}",
            parts=why.parts,
            marked=why.item_id == chosen,
        )
        for place, why in enumerate(answers, start=1)
    ]
    names = [part.name for part in answers[0].parts] if answers else []
    return cards(shown, empty="Nothing is left to recommend.") + (legend(names) if names else "")


def why_view(run: Run, why: Explanation) -> str:
    """One recommendation taken apart: what it is liked for, and what of the history speaks for it."""
    catalogue = run.catalogue
    about = f"{run.name}: score {why.score:.2f}; it stands out from the catalogue most by {_leading_reason(why)}."
    top = _item(catalogue.picture(why.item_id), catalogue.title(why.item_id), about)
    parts = heading("What it is liked for", "above the catalogue's mean") + bars(part_bars(why.parts))
    return top + parts + _influences(catalogue, why)


def _leading_reason(why: Explanation) -> str:
    """The part that lifts the item most, in words."""
    return in_words(max(ranking(why.parts), key=lambda part: part.above_mean).name)


def _item(picture: str | None, title: str, about: str) -> str:
    """An item alone, with a sentence about it."""
    return f'<div class="why">{image(picture)}<div><strong>{text(title)}</strong><p>{text(about)}</p></div></div>'


def _influences(catalogue: Catalogue, why: Explanation) -> str:
    rows = [
        Bar(catalogue.title(i.item_id), i.score, sign_colour(i.score), catalogue.picture(i.item_id))
        for i in reversed(why.influences)
    ]
    if not rows:
        return sentence("With one item in the history there is nothing to leave out; add another to see what counts.")
    return heading(
        "What of the history speaks for it, or against", "the score falls by so much without the item"
    ) + bars(rows)


def asked_view(picture: Image.Image | None, title: str) -> str:
    """The new item itself."""
    about = "New: no user has chosen it, and nothing is trained on it."
    return _item(as_address(picture) if picture is not None else None, title or "without a title", about)


def similar_view(catalogue: Catalogue, similar: Sequence[Similar]) -> str:
    """Items like a new one."""
    shown = [
        Card(s.item_id, catalogue.title(s.item_id), catalogue.picture(s.item_id), note=f"cosine {s.cosine:.2f}")
        for s in similar
    ]
    return cards(shown, empty="There is nothing to compare it with.")


def suited_view(run: Run, suited: Sequence[UserRank]) -> str:
    """Users in whose lists a new item stands high, with the newest that they chose."""
    rows = [_user(run, user) for user in suited]
    return f'<div class="users">{"".join(rows)}</div>' if rows else sentence("There is nobody to ask.")


def _user(run: Run, user: UserRank) -> str:
    known = newest(run.recommender.history(user.user_id), most=NEWEST_SHOWN)
    pictures = [(run.catalogue.picture(item), run.catalogue.title(item)) for item in known]
    shown = "".join(f'<img src="{p}" alt="{text(t)}" title="{text(t)}">' for p, t in pictures if p)
    newest_title = text(run.catalogue.title(known[0]))
    chose = f'<span class="chose">{shown}</span>' if shown else f"<p>chose {newest_title}</p>"
    return f'<div class="user"><b>{text(user.user_id)}</b><em>place {user.rank:,}</em>{chose}</div>'
