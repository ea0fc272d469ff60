"""What a run answers, ready to be shown: at most so much per call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.gradio_demo.catalogue import Catalogue
from iisan_core.serving.explanation import Explanation
from iisan_core.serving.recommender import Recommender

LONGEST_HISTORY = 50
MOST_RECOMMENDED = 24
SPOKEN_AS = {"image": "picture"}
"""What a modality is called where its own name would not do."""
AUDIENCE = 1000
"""Users among whom those are sought whom a new item suits."""


@dataclass(frozen=True)
class Run:
    """A recommender with its name and its catalogue."""

    name: str
    recommender: Recommender
    catalogue: Catalogue

    @classmethod
    def of(cls, name: str, recommender: Recommender) -> Run:
        """A run under a name."""
        return cls(name, recommender, Catalogue(recommender))

    @property
    def known_by(self) -> tuple[str, ...]:
        """What the run knows items by, in words."""
        return tuple(SPOKEN_AS.get(name, name) for name in self.recommender.modalities) or ("ids",)

    def recommend(self, history: Sequence[str], *, k: int) -> list[Explanation]:
        """The best items with their reasons, for the newest items of a history.

        Raises `RefusedError` for an empty history or an unknown item.
        """
        kept = list(history[-LONGEST_HISTORY:])
        (answer,) = self.recommender.recommend(histories=[kept], k=min(k, MOST_RECOMMENDED, len(self.catalogue)))
        return [self.recommender.explain(item.item_id, history=kept) for item in answer]


def changed(history: Sequence[str], item_id: str, action: str) -> list[str]:
    """A history after a click: `add` puts the item at its end, `remove` takes its newest occurrence out."""
    kept = list(history)
    if action == "add":
        kept.append(item_id)
    elif action == "remove" and item_id in kept:
        del kept[len(kept) - 1 - kept[::-1].index(item_id)]
    return kept[-LONGEST_HISTORY:]


def leading_reason(why: Explanation) -> str:
    """The name of the part that lifts the item most."""
    ranking = [part for part in why.parts if part.name != "bias"]
    return max(ranking, key=lambda part: part.above_mean).name
