"""A study: configurations to be compared, each trained with several seeds; and configurations changed a little."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, TypeAlias

from iisan_core.config.schema import CorruptionConfig, RunConfig, validated
from iisan_core.errors import RefusedError

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
    tested_under: Mapping[str, CorruptionConfig] = field(default_factory=dict)
    """Modality → what is done to its states when the trained model is tested, and only then."""
    uncached: bool = False
    """Its backbones run in every step instead of once into the caches."""


@dataclass(frozen=True)
class Study:
    """Rows, and the question that they answer together."""

    name: str
    question: str
    rows: tuple[Row, ...]

    def trainings(self) -> dict[str, list[int]]:
        """What has to be trained: a folder name → the numbers of the rows that share what is trained there."""
        found: dict[str, list[int]] = {}
        for number, row in enumerate(self.rows):
            shared = next((numbers for numbers in found.values() if _share_runs(row, self.rows[numbers[0]])), None)
            if shared is None:
                found[_free_name(row.name, found)] = [number]
            else:
                shared.append(number)
        return found

    def without(self, rows: Collection[str]) -> Study:
        """The same study without the rows of these names."""
        return replace(self, rows=tuple(row for row in self.rows if row.name not in rows))


def _share_runs(row: Row, other: Row) -> bool:
    return row.config == other.config and row.uncached == other.uncached


def seeds_of(config: RunConfig, seeds: Sequence[int]) -> Sequence[int]:
    """The seeds that a configuration needs: a counted baseline comes out the same with all, so the first is enough."""
    return seeds if config.baseline is None else seeds[:1]


def _free_name(name: str, taken: Collection[str]) -> str:
    stem = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
    return next(free for n in count(1) if (free := stem if n == 1 else f"{stem}-{n}") not in taken)


def with_model(config: RunConfig, changes: dict[str, Any]) -> RunConfig:
    """The same run with other values in `model`, checked anew."""
    model = config.model.model_dump() | changes
    return validated(RunConfig, config.model_dump() | {"model": model}, where="a study's configuration")


def only(config: RunConfig, modalities: Sequence[str]) -> RunConfig:
    """The same run on some of its modalities; what was said of the others goes with them."""
    kept = {
        field: {m: v for m, v in getattr(config, field).items() if m in modalities}
        for field in ("caches", "corruption")
    }
    layers = {m: choice for m, choice in config.model.layers.items() if m in modalities}
    values = config.model_dump() | kept | {"model": config.model.model_dump() | {"layers": layers}}
    return validated(RunConfig, values, where="a study's configuration")


def need_modalities(config: RunConfig, *, least: int, study: str) -> None:
    """Raise `RefusedError` for a study that compares more modalities than the run has."""
    if len(config.caches) < least:
        raise RefusedError(
            f"the {study} study needs caches of at least {least} modalities; there are {len(config.caches)} "
            f"({', '.join(config.caches) or 'none'})"
        )


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    """The same configuration with another seed."""
    return config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})
