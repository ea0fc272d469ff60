"""Item ids from outside, item numbers inside, and a sentence for every id that cannot be worked with."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iisan_core.config.schema import ProtocolConfig
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError, first_sentence


class ItemIndex:
    """Numbers of the ranked items, from 1; items of the catalogue that are not ranked have none, and no vector."""

    def __init__(self, item_ids: Sequence[str], dataset: Dataset, protocol: ProtocolConfig | None = None) -> None:
        self._dataset = dataset
        self._protocol = protocol
        self._number = {item_id: n for n, item_id in enumerate(item_ids, start=1)}
        self._unranked = frozenset(dataset.items["item_id"]) - self._number.keys()

    @property
    def ids(self) -> list[str]:
        """Of items 1 … N, in the order of their numbers."""
        return list(self._number)

    def of_history(self, history: Sequence[str]) -> list[int]:
        """Items that are not ranked are passed over; raises `RefusedError` if none is left, or one is unknown."""
        numbers = self._of(history)
        if numbers:
            return numbers
        if history:
            raise RefusedError(
                f"nothing is known of this history: its {len(history):,} items are in the catalogue, not in this run, "
                f"{self._why_unranked('they', 'them')}"
            )
        raise RefusedError("a history without any ranked item says nothing; give at least one item that has a vector")

    def of_asked(self, history: Sequence[str]) -> list[int]:
        """Like `of_history`, but nothing is left of a history whose items are in the catalogue, not in the run."""
        return self._of(history) if history else self.of_history(history)

    def unranked(self, history: Sequence[str]) -> list[str]:
        """The items of a history that are in the catalogue, not in the run."""
        return [item_id for item_id in history if item_id in self._unranked]

    @property
    def unranked_count(self) -> int:
        """How many items of the catalogue are not in the run."""
        return len(self._unranked)

    def _why_unranked(self, they: str, them: str) -> str:
        if self._protocol is not None and self._protocol.catalogue == "interacted":
            return (
                f"because no interaction that the run uses holds {them}, or {they} came later; to rank all items, "
                "train with protocol.catalogue=all"
            )
        return f"because {they} came after its training; train again, with `--from` this run, or add {them}"

    def of_ranked(self, history: Sequence[str]) -> list[int]:
        """Like `of_history`, but nothing is left of a history without any ranked item."""
        return self._of(history)

    def refuse_taken(self, items: pl.DataFrame) -> None:
        """Raise `RefusedError` if one of these items is ranked already."""
        taken = [i for i in items.get_column("item_id", default=pl.Series([])) if i in self._number]
        if taken:
            raise RefusedError(
                f"{len(taken):,} of the new items are there already, the first is {taken[0]!r}; add items under ids of "
                "their own"
            )

    def of_item(self, item_id: str) -> int:
        """Raises `RefusedError` for an item that is unknown, or not ranked."""
        numbers = self._of([item_id])
        if not numbers:
            why = self._why_unranked("it", "it")
            raise RefusedError(f"item {item_id!r} is in the catalogue, not in this run, {why}")
        return numbers[0]

    def of_choice(
        self, candidates: Collection[str] | None, condition: pl.Expr | None, *, but: Collection[str] = ()
    ) -> list[int]:
        """Ranked items among `candidates` (None: all), without some, that meet a condition on the catalogue's columns.

        Raises `RefusedError` for an unknown item, a condition that polars cannot apply, or if nothing is left.
        """
        numbers = list(self._number.values()) if candidates is None else self._of(candidates)
        if condition is not None:
            meeting = self._meeting(condition)
            numbers = [number for number in numbers if number in meeting]
        if but:
            left_out = set(self._of(but))
            numbers = [number for number in numbers if number not in left_out]
        if not numbers:
            raise RefusedError(
                "nothing to choose from: no ranked item is among the candidates, meets the filter and is not excluded"
                if but
                else "nothing to choose from: no ranked item is among the candidates and meets the filter"
            )
        return numbers

    def of_column(self, items: pl.Series, *, where: str) -> NDArray[np.int32]:
        """The number of every item of a long column, [n]; 0 for those that are in the catalogue, not in the run.

        Raises `RefusedError`, which says `where` the column stands, if one of them is unknown.
        """
        known = pl.DataFrame(
            {
                "item_id": [*self._number, *self._unranked],
                "number": [*self._number.values(), *[0] * len(self._unranked)],
            },
            schema={"item_id": pl.String, "number": pl.Int32},
        )
        asked = pl.DataFrame({"item_id": items.cast(pl.String)})
        numbers = asked.join(known, on="item_id", how="left", maintain_order="left")["number"]
        if unknown := numbers.null_count():
            first = items.filter(numbers.is_null())[0]
            raise RefusedError(
                f"{unknown:,} of the {len(items):,} item ids in {where} are not in {self._dataset.folder}, the first "
                f"is {first!r}; check their spelling, or leave them out"
            )
        return numbers.to_numpy()

    def _of(self, item_ids: Collection[str]) -> list[int]:
        numbers = [self._number[item_id] for item_id in item_ids if item_id in self._number]
        if len(numbers) < len(item_ids):
            self._check_known(item_ids)
        return numbers

    def _check_known(self, item_ids: Collection[str]) -> None:
        for item_id in item_ids:
            if item_id not in self._number and item_id not in self._unranked:
                raise RefusedError(f"no item {item_id!r} in {self._dataset.folder}; check its spelling")

    def _meeting(self, condition: pl.Expr) -> set[int]:
        try:
            found = self._dataset.items.filter(condition)["item_id"]
        except pl.exceptions.PolarsError as error:
            columns = ", ".join(self._dataset.items.columns)
            raise RefusedError(f"the filter is no condition on the columns {columns}: {error}") from None
        return {self._number[item_id] for item_id in found if item_id in self._number}


LONGEST_CONDITION = 10_000
"""Characters."""


def condition_of(text: str) -> pl.Expr:
    """A condition on the catalogue's columns as SQL writes it, such as `price < 20 AND title LIKE '%lamp%'`.

    It is parsed by polars into an expression, never executed as a program. Raises `RefusedError` for what is none.
    """
    remedy = "write one as SQL does, such as \"title LIKE '%lamp%'\""
    if len(text) > LONGEST_CONDITION:
        raise RefusedError(f"the filter has {len(text):,} characters; {LONGEST_CONDITION:,} are the most")
    try:
        return pl.sql_expr(text)
    except pl.exceptions.PolarsError as error:
        raise RefusedError(f"the filter {text!r} is no condition ({first_sentence(error)}); {remedy}") from None
