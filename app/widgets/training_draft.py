"""A training before it is started: its settings, their faults field by field, and the command that does the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from iisan_core.config.presets import Preset, load_preset, preset_names
from iisan_core.config.schema import RunConfig

GROUPS = ("training", "model", "protocol")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")

Values = dict[str, dict[str, Any]]
"""Group → field → value."""


@dataclass(frozen=True)
class Draft:
    """What the form says."""

    preset: str
    dataset: Path
    caches: Mapping[str, Path]
    """Modality → cache, in fusion order."""
    values: Values
    runs: Path
    name: str
    """What somebody typed: no path until it has been checked."""

    @property
    def run(self) -> Path:
        """The run folder to make."""
        return self.runs / self.name

    def checked(self) -> tuple[RunConfig | None, dict[str, str]]:
        """The configuration, or none and every fault by its place, such as `training.epochs` or `model`."""
        whole = {"dataset": self.dataset, "caches": dict(self.caches), **self.values}
        faults = {"run": fault} if (fault := fault_of_name(self.runs, self.name)) else {}
        try:
            config = RunConfig.model_validate(whole)
        except ValidationError as error:
            return None, faults | {_place(each["loc"]): _words(each) for each in error.errors()}
        return (None if faults else config), faults

    def settings(self) -> list[str]:
        """What differs from the preset, as `iisan train --set` takes it."""
        base = values_of(load_preset(self.preset))
        return [
            f"{group}.{field}={_yaml(value)}"
            for group in GROUPS
            for field, value in self.values[group].items()
            if value != base[group][field]
        ]

    def command(self) -> str:
        """The call of the shell that does the same, on several lines."""
        parts = [f"iisan train {shlex.quote(str(self.dataset))} --preset {self.preset}"]
        parts += [f"--cache {shlex.quote(str(folder))}" for folder in self.caches.values()]
        parts += [f"--set {shlex.quote(setting)}" for setting in self.settings()]
        return " \\\n  ".join([*parts, f"--run {shlex.quote(str(self.run))}"])


def values_of(source: Preset | RunConfig) -> Values:
    """The settings of a preset or of a run, as plain data."""
    return source.model_dump(mode="json", include=set(GROUPS))


def nearest_preset(config: RunConfig) -> str:
    """The preset from which a configuration differs least, so that the command for it is short."""
    own = values_of(config)

    def differences(name: str) -> int:
        base = values_of(load_preset(name))
        return sum(own[group][field] != base[group][field] for group in GROUPS for field in own[group])

    return min(preset_names(), key=differences)


def fault_of_name(runs: Path, name: str) -> str:
    """Why a run cannot have this name; nothing if it can."""
    if not NAME.fullmatch(name):
        return "letters, digits, dots, dashes and underscores, at most 80, the first a letter or digit"
    return f"{name} exists already; choose another name" if (runs / name).exists() else ""


def free_name(runs: Path, stem: str) -> str:
    """`stem-1`, or the first after it that is free."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:60] or "run"
    return next(name for n in range(1, 100_000) if not (runs / (name := f"{stem}-{n}")).exists())


def _place(location: tuple[int | str, ...]) -> str:
    """`training.epochs` for a fault anywhere in that field; empty for one of the whole."""
    return ".".join(str(part) for part in location[:2])


def _words(fault: Any) -> str:
    return str(fault["msg"]).removeprefix("Value error, ")


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()
