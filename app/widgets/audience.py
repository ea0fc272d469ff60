"""Whom to look at: users at random, by the length of their history, or by how well the run serves them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import streamlit as st

from app.widgets.reading import RunFacts, Stamp, read_dataset, stamp
from app.widgets.text import count
from iisan_core.errors import RefusedError
from iisan_core.evaluation.rank_table import read_rank_table

EXTREMES = 100
"""Users among the best, or worst, served."""
COLD = "test_interactions"


@dataclass(frozen=True)
class Audience:
    """The evaluated users of a run: `user_id`, `test` (rank of the true next item), `interactions`, and more."""

    users: pl.DataFrame

    @property
    def groups(self) -> list[str]:
        """The groups that can be told apart for this run."""
        return [name for name in GROUPS if name != "Cold target" or COLD in self.users.columns]

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


BY_LENGTH = "By history length"
GROUPS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "Random": lambda users: users,
    BY_LENGTH: lambda users: users,
    "Cold target": lambda users: users.filter(pl.col(COLD) == 0),
    "Best served": lambda users: users.sort("test").head(EXTREMES),
    "Worst served": lambda users: users.sort("test", descending=True).head(EXTREMES),
}


def audience_of(run: RunFacts) -> Audience:
    """The users of a finished run."""
    assert run.config is not None, "only finished runs come here"
    dataset = read_dataset(run.config.dataset)
    return _audience(
        str(run.run.path), stamp(run.run.ranks, dataset.folder / "interactions.parquet"), dataset.interactions
    )


@st.cache_resource(max_entries=8, show_spinner=False)
def _audience(run: str, changed: Stamp, _log: pl.DataFrame) -> Audience:
    ranks = read_rank_table(Path(run) / "ranks.parquet")
    lengths = _log.group_by("user_id").agg(interactions=pl.len().cast(pl.Int64))
    return Audience(ranks.join(lengths, on="user_id", how="inner", maintain_order="left"))


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
