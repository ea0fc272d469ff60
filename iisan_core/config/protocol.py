"""How a log is learned from and measured: what trains, what is held out, what is ranked and masked."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from iisan_core.config.base import Strict, renamed

FIRST_EDITION = {"min_interactions", "max_history", "catalogue"}
"""A protocol that spells out these and nothing else was written before there was more to choose."""

PAPER_FORM = {"training": "last", "masked": "kept"}
"""What it meant: a user's last S + 3 interactions are all that is used."""

SplitKind: TypeAlias = Literal["leave-one-out", "time", "given"]


class ProtocolConfig(Strict):
    """What of a log trains, what is held out, and how it is measured (method, sections 6 and 8)."""

    split: SplitKind = Field(
        "leave-one-out",
        description="What is held out: each user's last two items, all from a moment on, or what the log's column "
        "`subset` says.",
    )
    training: Literal["all", "last"] = Field(
        "all",
        description="What trains: every interaction before the targets, once as a target; or only each user's last "
        "S + 1 before them, as in the paper.",
    )
    catalogue: Literal["all", "interacted"] = Field(
        "all",
        description="What is ranked: all that the catalogue has, or only items that stand in what is used of the log.",
    )
    masked: Literal["history", "kept"] = Field(
        "history",
        description="What gets no score: all items of a user's history, or only the newest S + 2, as in the paper.",
    )
    min_interactions: int = Field(
        5,
        ge=3,
        le=10**9,
        description="Users with fewer interactions are not measured; with `training: last` they do not train.",
    )
    max_history: int = Field(
        10, ge=1, le=100_000, description="S: how many of a user's newest items the user encoder reads."
    )
    target: Literal["next", "rest"] = Field(
        "next",
        description="What is to be found of a user in a split by time or as given: the next item, or all held out.",
    )
    valid_from: float | str = Field(
        0.8,
        description="Where a split by time begins to validate: a share of the log's interactions, or a date such as "
        "2018-07-01; training sees nothing from there on.",
    )
    test_from: float | str = Field(0.9, description="Where a split by time begins to test; as `valid_from`.")

    @model_validator(mode="before")
    @classmethod
    def _named_as_before(cls, values: Any) -> Any:
        values = renamed(values, inputs="max_history")
        if isinstance(values, dict) and values.keys() == FIRST_EDITION:
            return PAPER_FORM | values
        return values

    @field_validator("valid_from", "test_from")
    @classmethod
    def _is_cut(cls, cut: float | str) -> float | str:
        if isinstance(cut, str):
            try:
                datetime.fromisoformat(cut)
            except ValueError:
                raise ValueError(f"{cut!r} is no date; write it as 2018-07-01 or 2018-07-01T12:00:00") from None
        elif not 0 < cut < 1:
            raise ValueError(f"{cut} is no share of the log; give a number between 0 and 1, such as 0.9, or a date")
        return cut

    @model_validator(mode="after")
    def _parts_fit(self) -> ProtocolConfig:
        if self.split == "leave-one-out" and self.target == "rest":
            raise ValueError("leave-one-out holds one item out, so target is next; choose split time or given for rest")
        if self.split != "leave-one-out" and self.training == "last":
            raise ValueError(f"training last is the paper's form of leave-one-out; with split {self.split} choose all")
        first, second = self.valid_from, self.test_from
        if isinstance(first, float) and isinstance(second, float) and first >= second:
            raise ValueError(f"valid_from {first} is not before test_from {second}; swap them")
        return self
