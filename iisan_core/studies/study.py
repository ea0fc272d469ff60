"""A study: configurations to be compared, each trained with several seeds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from iisan_core.config import DamageConfig, RunConfig

Fact: TypeAlias = str | float | None


@dataclass(frozen=True)
class Row:
    """One line of a study's table."""

    name: str
    """What is special about it, in a few words."""
    config: RunConfig
    """Trained once per seed; rows of equal configurations share their runs."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """Further columns: what a chart puts on its axes."""
    tested_under: Mapping[str, DamageConfig] = field(default_factory=dict)
    """Modality → what is done to its states when the trained model is tested, and only then."""


@dataclass(frozen=True)
class Study:
    """Rows, and the question that they answer together."""

    name: str
    question: str
    rows: tuple[Row, ...]

    def configurations(self) -> dict[str, RunConfig]:
        """What has to be trained: a folder name, after the first row of it → configuration."""
        found: dict[str, RunConfig] = {}
        for row in self.rows:
            if row.config not in found.values():
                found[_free_name(row.name, found)] = row.config
        return found

    def trained_as(self, row: Row) -> str:
        """The name under which a row's configuration is trained."""
        return next(name for name, config in self.configurations().items() if config == row.config)


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    """The same configuration with another seed."""
    return config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})


def seeds_of(config: RunConfig, seeds: Sequence[int]) -> Sequence[int]:
    """The seeds that a configuration needs: a counted baseline comes out the same with all, so the first is enough."""
    return seeds if config.baseline is None else seeds[:1]


def _free_name(name: str, taken: Mapping[str, RunConfig]) -> str:
    stem = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
    return next(free for n in count(1) if (free := stem if n == 1 else f"{stem}-{n}") not in taken)
