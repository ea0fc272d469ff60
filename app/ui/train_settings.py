"""Settings of a training before it is started: their widgets, made from the configuration's own fields; their faults,
field by field; and the command that does the same.
"""

from __future__ import annotations

import math
import shlex
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from app.formats import plain
from app.names import fault_of_run_name
from iisan_core.config.presets import Preset, load_preset, preset_names
from iisan_core.config.schema import RunConfig
from iisan_core.errors import RefusedError

GROUPS = ("training", "model", "protocol")
LABELS = {
    "batch_size": "Batch size",
    "san_learning_rate": "SAN rate",
    "ema": "Averaged weights (EMA)",
    "gbce_calibration": "gBCE calibration",
    "ids": "Vectors of ids",
    "ids_weight_decay": "Weight decay of ids",
    "bottleneck": "Bottleneck r",
    "bottlenecks": "Bottleneck r, by modality",
    "inter_bottleneck": "Bottleneck r, inter",
    "embedding": "Embedding E",
    "max_history": "History S",
}
UNSET = "unset"

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
        faults = {"run": fault} if (fault := fault_of_run_name(self.runs, self.name)) else {}
        try:
            config = RunConfig.model_validate(whole)
        except ValidationError as error:
            return None, faults | {_place(each["loc"]): _words(each["msg"]) for each in error.errors()}
        faults |= config.unlearnable()
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


def _place(location: tuple[int | str, ...]) -> str:
    """`training.epochs` for a fault anywhere in that field; empty for one of the whole."""
    return ".".join(str(part) for part in location[:2])


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")


def values_of(source: Preset | RunConfig) -> Values:
    """The settings of a preset or of a run, as plain data."""
    return source.model_dump(mode="json", include=set(GROUPS))


def nearest_preset(config: RunConfig) -> str:
    """The preset from which a configuration differs least, so that the command for it is short."""
    own = values_of(config)

    def differences(name: str) -> float:
        try:
            base = values_of(load_preset(name))
        except RefusedError:  # one of somebody's own, with faults
            return math.inf
        return sum(own[group][field] != base[group][field] for group in GROUPS for field in own[group])

    return min(preset_names(), key=differences)


def fields_of(group: str) -> dict[str, FieldInfo]:
    """The fields of a group of the configuration, by name."""
    annotation = RunConfig.model_fields[group].annotation
    assert annotation is not None and group in GROUPS
    return dict(annotation.model_fields)


def setting(group: str, name: str, value: Any, *, base: str, faults: dict[str, str]) -> Any:
    """A widget for one field that starts at `value`; below it what is wrong with it. Returns the value given.

    base    what the form started from; another base is another widget, which starts anew
    faults  by place; this field's is shown
    """
    label = LABELS.get(name, name.replace("_", " ").capitalize())
    given = _widget(fields_of(group)[name], label, value, key=f"{base}:{group}.{name}")
    show_fault_of(f"{group}.{name}", faults)
    return given


def show_fault_of(place: str, faults: dict[str, str]) -> None:
    """The fault of a place of the configuration, if it has one."""
    if place in faults:
        st.caption(f":red[:material/error: {plain(faults[place])}]")


def _widget(info: FieldInfo, label: str, value: Any, *, key: str) -> Any:
    about = plain(info.description or "")
    kind: Any = info.annotation
    if kind is bool:
        return st.toggle(label, value=value, key=key, help=about, persist_state="session")
    if typing.get_origin(kind) is typing.Literal:
        choices = list(typing.get_args(kind))
        return st.selectbox(label, choices, index=choices.index(value), key=key, help=about, persist_state="session")
    if typing.get_origin(kind) is tuple:  # of words, as many as one likes
        words = list(typing.get_args(typing.get_args(kind)[0]))
        return st.multiselect(label, words, default=list(value), key=key, help=about, persist_state="session")
    if kind in (int, float):
        return _number(kind, label, value, key=key, about=about)
    text = "" if value in (None, {}, []) else _yaml(value)
    return _parsed(
        st.text_input(label, value=text, key=key, help=about, placeholder=UNSET, persist_state="session"),
        nothing=None if _may_be_none(kind) else {},
    )


def _number(kind: Any, label: str, value: Any, *, key: str, about: str) -> Any:
    """No limits here: the configuration knows them, and says so at the field."""
    step = 1 if kind is int else 10.0 ** math.floor(math.log10(value)) if value else 0.01
    return st.number_input(
        label,
        value=kind(value),
        step=kind(step),
        format="%d" if kind is int else "%g",
        key=key,
        help=about,
        persist_state="session",
    )


def _yaml(value: Any) -> str:
    """On one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()


def _parsed(text: str, *, nothing: Any) -> Any:
    """What was typed, as YAML; what is no YAML stays text, and the configuration refuses it."""
    if not text.strip():
        return nothing
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _may_be_none(kind: Any) -> bool:
    return typing.get_origin(kind) in (types.UnionType, typing.Union) and types.NoneType in typing.get_args(kind)
