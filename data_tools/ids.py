"""Ids of users and items: what is none, what has been damaged on the way, and how it can be repaired.

Spreadsheets and programs damage ids in few ways: spaces and invisible characters get in (`u1 `), whole numbers get a
point (`7.0`) or lose their zeros (`007`), capitals change. Which was meant only their owner knows, so a damage is
named with examples, and repaired only on request.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import polars as pl

from data_tools.text import INVISIBLE, JOINERS, SAYS_NOTHING
from iisan_core.data.held_out import timestamps_are_positions
from iisan_core.errors import RefusedError

Repair: TypeAlias = Literal["strip", "integer", "lower"]
REPAIRS: tuple[Repair, ...] = get_args(Repair)
TRIED: tuple[tuple[Repair, ...], ...] = (
    ("strip",),
    ("integer",),
    ("lower",),
    ("strip", "integer"),
    ("strip", "lower"),
    ("strip", "integer", "lower"),
)
"""Repairs that are tried on ids that the catalogue lacks, the mildest first."""
UNSEEN = rf"{INVISIBLE}{JOINERS}\p{{Cc}}"
"""Characters that no id shows, as in a class of a regular expression."""
SHARE = 0.01
"""Share of the interactions whose loss to damaged ids is refused; a smaller one is warned of."""
EXAMPLES = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IdFault:
    """A way in which a text is no id."""

    fault: pl.Expr
    says: str
    """What is wrong and what to do, after `the <column> '<value>' `."""


def id_faults(text: pl.Expr) -> tuple[IdFault, IdFault, IdFault]:
    """Ids are there, and hold no tab, line end or other control character."""
    return (
        IdFault(text.is_null() | (text.str.strip_chars() == ""), "is empty; every record needs one"),
        IdFault(
            text.str.strip_chars().is_in(SAYS_NOTHING).fill_null(False),
            "is what programs write where nothing is; every record needs one",
        ),
        IdFault(text.str.contains(r"\p{Cc}").fill_null(False), "holds a tab or line end; no id may"),
    )


def repairs_of(text: str | None) -> tuple[Repair, ...]:
    """The repairs in a list such as `strip,integer`; raises `RefusedError` for others."""
    asked = [part.strip() for part in (text or "").split(",") if part.strip()]
    wrong = [part for part in asked if part not in REPAIRS]
    if wrong:
        raise RefusedError(f"--ids {','.join(wrong)}: there are {', '.join(REPAIRS)}, separated by commas")
    return tuple(repair for repair in REPAIRS if repair in asked)


def repaired(text: pl.Expr, repairs: Sequence[Repair]) -> pl.Expr:
    """Ids without what was damaged: space and invisible characters, points and zeros of whole numbers, capitals."""
    if "strip" in repairs:
        text = text.str.replace_all(rf"[{UNSEEN}]", "").str.strip_chars()
    if "integer" in repairs:
        text = text.str.replace(r"^\s*0*(\d+?)(?:\.0*)?\s*$", "$1")
    if "lower" in repairs:
        text = text.str.to_lowercase()
    return text


def repair_ids(
    items: pl.DataFrame,
    interactions: pl.DataFrame,
    repairs: Sequence[Repair],
    *,
    items_from: str = "item table",
    log_from: str = "interaction table",
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both tables with their ids repaired, or as they are and sound; messages call them `items_from` and `log_from`.

    Raises `RefusedError` with examples where ids of one column differ by damage alone, or where much of the log is lost
    since its items are written otherwise in the catalogue.
    """
    if repairs:
        before, in_order = interactions["user_id"].n_unique(), timestamps_are_positions(interactions)
        items = items.with_columns(repaired(pl.col("item_id"), repairs))
        interactions = interactions.with_columns(repaired(pl.col("user_id", "item_id"), repairs))
        if interactions["user_id"].n_unique() < before and in_order:
            raise RefusedError(
                f"--ids {','.join(repairs)} makes one user of several whose items have an order, but no times; join "
                "their lines first"
            )
    if items.is_empty() or interactions.is_empty():
        return items, interactions
    _refuse_twins(interactions["user_id"], log_from, "user ids")
    _refuse_twins(interactions["item_id"], log_from, "item ids")
    _refuse_twins(items["item_id"], items_from, "item ids")
    _compare(items["item_id"], interactions["item_id"], log_from)
    return items, interactions


def _refuse_twins(ids: pl.Series, name: str, what: str) -> None:
    """Raise `RefusedError` if two ids differ by space, invisible characters or the point of whole numbers alone."""
    different = ids.drop_nulls().unique(maintain_order=True).alias("id").to_frame()
    for repair, damaged in (("strip", rf"^\s|\s$|[{UNSEEN}]"), ("integer", r"^\d+\.0*$")):
        odd = different.filter(pl.col("id").str.contains(damaged))
        if odd.is_empty():
            continue
        sound = repaired(pl.col("id"), (repair,))  # type: ignore[arg-type]
        twins = odd.with_columns(sound=sound).join(different.with_columns(sound=sound), on="sound", how="inner")
        twins = twins.filter(pl.col("id") != pl.col("id_right"))
        if not twins.is_empty():
            pairs = ", ".join(f"{a!r} and {b!r}" for a, b in twins.select("id", "id_right").head(EXAMPLES).rows())
            raise RefusedError(
                f"{name}: {twins['id'].n_unique():,} {what} differ from others by damage alone, such as {pairs}; give "
                f"--ids {repair} to make one of them, or correct them"
            )


def _compare(catalogue: pl.Series, named: pl.Series, name: str) -> None:
    """Say which items the catalogue lacks, with examples; raise `RefusedError` if a repair would find many of them."""
    known = catalogue.unique(maintain_order=True).alias("id").to_frame()
    times = named.alias("id").value_counts(name="times", sort=True)
    lost = times.join(known, on="id", how="anti", maintain_order="left")
    if lost.is_empty():
        return
    repairs, found = _best_repair(lost, known)
    if found is None:
        logger.warning(
            "%s: %s interactions name %s items that the catalogue lacks, such as %s; the catalogue has ids such as %s",
            name,
            f"{lost['times'].sum():,}",
            f"{lost.height:,}",
            _quoted(lost["id"]),
            _quoted(known["id"]),
        )
        return
    pairs = ", ".join(
        f"{a!r} in the log, {b!r} in the catalogue" for a, b in found.select("id", "theirs").head(EXAMPLES).rows()
    )
    count, share = found["times"].sum(), found["times"].sum() / max(named.len(), 1)
    sentence = (
        f"{name}: {count:,} of {named.len():,} interactions name items that the catalogue writes otherwise: {pairs}; "
        f"give --ids {','.join(repairs)} to make them one, or correct the ids"
    )
    if share >= SHARE:
        raise RefusedError(sentence)
    logger.warning("%s; they are dropped", sentence)


def _best_repair(lost: pl.DataFrame, known: pl.DataFrame) -> tuple[tuple[Repair, ...], pl.DataFrame | None]:
    """The mildest of the repairs that find most: what they find is `id`, the catalogue's id, `times`."""
    best: tuple[tuple[Repair, ...], pl.DataFrame | None] = ((), None)
    for repairs in TRIED:
        key = repaired(pl.col("id"), repairs)
        keys = known.select(key=key, theirs="id").unique("key", keep="first", maintain_order=True)
        found = lost.with_columns(key=key).join(keys, on="key", how="inner", maintain_order="left")
        if found.height > (0 if best[1] is None else best[1].height):
            best = (repairs, found.select("id", "theirs", "times"))
    return best


def _quoted(ids: pl.Series) -> str:
    return ", ".join(repr(text) for text in ids.head(EXAMPLES))
