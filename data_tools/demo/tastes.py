"""The users of the demo world: what each likes, and the choices that follow from taste, habit, popularity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_tools.demo.catalogue import LATE, REGULAR, Array, Catalogue
from data_tools.demo.parameters import KINDS, PRODUCTS, VALUES, DemoWorld

NOTHING = -1
"""Stands in a sequence after its end."""
CHUNK = 500
"""Users that choose at the same time; bounds the memory of the [users, items] tables."""
OPENING = 1_672_531_200
"""When the shop opened: 1 January 2023, 00:00 UTC, in seconds."""
DAY = 86_400

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Tastes:
    """What is true of every user; arrays of length U."""

    kind: Array
    """Index into `KINDS`."""
    liked: Array
    """Index of the liked value, of the attribute that belongs to the kind."""
    length: Array
    """Number of interactions."""

    @property
    def user_ids(self) -> list[str]:
        """Ids as a shop would give them."""
        return [f"U{number:04d}" for number in range(1, len(self.kind) + 1)]

    def matches(self, catalogue: Catalogue) -> Mask:
        """[U, N]: whether the item has what the user likes."""
        columns = [catalogue.attributes[attribute] for attribute in KINDS.values()]
        matches: Mask = np.stack(columns)[self.kind] == self.liked[:, None]
        return matches


def draw_tastes(world: DemoWorld, *, rng: np.random.Generator) -> Tastes:
    """Draw the users; kinds have their shares and the values within a kind are equally frequent (± 1)."""
    ends = np.round(np.cumsum(world.kind_shares) * world.users)
    kind = np.searchsorted(ends, np.arange(world.users), side="right")
    liked = np.concatenate(
        [np.arange((kind == k).sum()) % len(VALUES[attribute]) for k, attribute in enumerate(KINDS.values())]
    )
    order = rng.permutation(world.users)
    length = rng.integers(world.shortest, world.longest + 1, size=world.users)
    return Tastes(kind=kind[order], liked=liked[order], length=length)


def choose_items(catalogue: Catalogue, tastes: Tastes, *, world: DemoWorld, rng: np.random.Generator) -> Array:
    """Every user's items in order, [U, longest], `NOTHING` after the end; no item twice for one user."""
    chunks = [
        _choose_together(catalogue, _rows(tastes, start), world=world, rng=rng)
        for start in range(0, world.users, CHUNK)
    ]
    return np.concatenate(chunks, axis=0)


def draw_timestamps(sequences: Array, *, late: Mask, rng: np.random.Generator) -> Array:
    """Seconds since 1970 for every interaction, [U, longest], strictly increasing within a user.

    Users arrive over ten months and come back after a week on average; late items (`late`, [U]: the user's
    last item is one) are bought in the month after everything else.
    """
    start = rng.integers(0, 300 * DAY, size=(len(sequences), 1))
    gaps = 60 + rng.exponential(7 * DAY, size=sequences.shape).astype(np.int64)
    times: Array = OPENING + start + gaps.cumsum(axis=1)
    last = (sequences != NOTHING).sum(axis=1) - 1
    launch = times[sequences != NOTHING].max() + DAY
    afterwards = launch + rng.integers(0, 30 * DAY, size=len(sequences))
    rows = np.flatnonzero(late)
    times[rows, last[rows]] = afterwards[rows]
    return times


def _rows(tastes: Tastes, start: int) -> Tastes:
    rows = slice(start, start + CHUNK)
    return Tastes(kind=tastes.kind[rows], liked=tastes.liked[rows], length=tastes.length[rows])


def _choose_together(catalogue: Catalogue, tastes: Tastes, *, world: DemoWorld, rng: np.random.Generator) -> Array:
    users = len(tastes.length)
    product = catalogue.attributes["product"]
    matches = tastes.matches(catalogue)
    unseen = np.ones_like(matches)
    sequences = np.full((users, world.longest), NOTHING, dtype=np.int64)
    has_late = bool((catalogue.launch == LATE).any())
    for position in range(world.longest):
        active = np.flatnonzero(position < tastes.length)
        wants_late = (position == tastes.length - 1) & (rng.random(users) < world.late_choices) & has_late
        offered = unseen & (catalogue.launch == np.where(wants_late, LATE, REGULAR)[:, None])
        wanted = matches | (rng.random(users) >= world.taste)[:, None]
        if position:
            successor = (product[sequences[:, position - 1]] + 1) % len(PRODUCTS)
            free = rng.random(users) >= world.habit
            due = (product == successor[:, None]) | free[:, None]
        else:
            due = np.ones_like(wanted)
        chosen = _draw(_first_nonempty(offered & wanted & due, offered & wanted, offered), catalogue, rng=rng)
        sequences[active, position] = chosen[active]
        unseen[active, chosen[active]] = False
    return sequences


def _first_nonempty(*candidates: Mask) -> Mask:
    """For every user the first of these sets, [U, N] each, that is not empty: habit yields before taste."""
    result: Mask = candidates[-1]
    for mask in reversed(candidates[:-1]):
        result = np.where(mask.any(axis=1, keepdims=True), mask, result)
    return result


def _draw(candidates: Mask, catalogue: Catalogue, *, rng: np.random.Generator) -> Array:
    """One item for every user among the candidates, [U, N], with probability by popularity: [U]."""
    assert candidates.any(axis=1).all(), "a world of this size offers everybody something"
    cumulative = np.cumsum(candidates * catalogue.popularity, axis=1)
    # In (0, total]: an item without weight is never the first to reach it.
    threshold = (1 - rng.random(len(candidates))) * cumulative[:, -1]
    chosen: Array = (cumulative < threshold[:, None]).sum(axis=1)
    return chosen
