"""What a search may change: configuration keys, and the values that each may take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import model_validator

from iisan_core.config.schema import RunConfig, Strict, read_yaml, validated
from iisan_core.errors import RefusedError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value: TypeAlias = bool | int | float | str | None

GROUPS, SEED = ("training", "model"), "training.seed"
"""What of a configuration may be searched; data, protocol and seed are what trials have in common."""


class Between(Strict):
    """Any number from `low` to `high`; whole ones only, where both are."""

    low: int | float
    high: int | float
    log: bool = False
    """Whether factors count alike instead of differences."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Between:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}; swap them")
        if self.log and self.low <= 0:
            raise ValueError(f"log asks for low above 0, found {self.low}")
        return self


class Space(Strict):
    """Configuration key → a range, or the values to choose from."""

    keys: dict[str, Between | list[Value]]

    @model_validator(mode="after")
    def _has_choices(self) -> Space:
        if not self.keys:
            raise ValueError("it names no key; name one, such as training.learning_rate: {low: 0.0001, high: 0.01}")
        for key, values in self.keys.items():
            if isinstance(values, list) and len(values) < 2:
                raise ValueError(f"{key} has {len(values)} values to choose from; give at least two")
        return self

    def distributions(self) -> dict[str, BaseDistribution]:
        """The same as the search library says it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        found: dict[str, BaseDistribution] = {}
        for key, values in self.keys.items():
            if isinstance(values, list):
                found[key] = CategoricalDistribution(values)
            elif isinstance(values.low, int) and isinstance(values.high, int):
                found[key] = IntDistribution(values.low, values.high, log=values.log)
            else:
                found[key] = FloatDistribution(values.low, values.high, log=values.log)
        return found

    def check(self, base: RunConfig) -> None:
        """Raise `RefusedError` where a key is none of the configuration's, or none of its values may stand there."""
        for key, values in self.keys.items():
            ends = values if isinstance(values, list) else [values.low, values.high]
            faults = [fault for value in ends if (fault := _fault(base, {key: value}))]
            if len(faults) == len(ends):
                raise RefusedError(f"the space cannot be searched: {faults[0]}")


def applied(base: RunConfig, values: Mapping[str, Value]) -> RunConfig:
    """The configuration with a trial's values; raises `RefusedError` where they do not go together."""
    changed: dict[str, Any] = base.model_dump(mode="json")
    for key, value in values.items():
        group, _, name = key.partition(".")
        if group not in GROUPS or name not in changed[group] or key == SEED:
            known = ", ".join(f"{g}.{n}" for g in GROUPS for n in changed[g] if f"{g}.{n}" != SEED)
            raise RefusedError(f"{key} is no key that a search may change; there are {known}")
        changed[group] = changed[group] | {name: value}
    return validated(RunConfig, changed, where="a trial's configuration")


def _fault(base: RunConfig, values: Mapping[str, Value]) -> str:
    try:
        applied(base, values)
    except RefusedError as error:
        return str(error)
    return ""


_RATES: dict[str, Any] = {
    "training.learning_rate": {"low": 2e-4, "high": 1e-2, "log": True},
    "training.san_learning_rate": {"low": 2e-4, "high": 1e-2, "log": True},
    "training.weight_decay": {"low": 1e-3, "high": 0.5, "log": True},
}
_REGULAR: dict[str, Any] = {"model.dropout": {"low": 0.0, "high": 0.5}, "training.batch_size": [64, 128, 256, 512]}
_SHAPE: dict[str, Any] = {
    "model.embedding": [64, 128, 256],
    "model.bottleneck": [32, 64, 128],
    "model.blocks": [1, 2, 3],
    "model.user_encoder": ["sasrec", "gru4rec", "hstu"],
    "model.initial_scale": [0.1, 0.3, 1.0],
}
_TRAINER: dict[str, Any] = {
    "training.schedule": ["constant", "linear", "cosine"],
    "training.ema": [None, 0.99, 0.999],
    "training.correct_positive": [True, False],
}

SPACES: dict[str, dict[str, Any]] = {
    "rates": _RATES,
    "training": _RATES | _REGULAR | _TRAINER,
    "model": _SHAPE | {"model.dropout": _REGULAR["model.dropout"]},
    "all": _RATES | _REGULAR | _SHAPE | _TRAINER,
}
"""Spaces by name."""


def open_space(name: str) -> Space:
    """A space by name, or from a YAML file; raises `RefusedError` for one that is neither, or has faults."""
    if name in SPACES:
        return Space(keys=SPACES[name])
    if not Path(name).is_file():
        raise RefusedError(f"no space {name!r}; name {', '.join(SPACES)}, or a YAML file of keys and their values")
    return validated(Space, {"keys": read_yaml(Path(name))}, where=f"the space {name}")
