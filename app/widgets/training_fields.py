"""Input widgets made from the fields of the configuration: their type, their default, their own description."""

from __future__ import annotations

import math
import types
import typing
from typing import Any

import streamlit as st
import yaml
from pydantic.fields import FieldInfo

from app.widgets.text import plain
from app.widgets.training_draft import GROUPS
from iisan_core.config.schema import RunConfig

LABELS = {
    "batch_size": "Batch size",
    "san_learning_rate": "SAN rate",
    "ids": "Vectors of ids",
    "ids_weight_decay": "Weight decay of ids",
    "bottleneck": "Bottleneck r",
    "inter_bottleneck": "Bottleneck r, inter",
    "embedding": "Embedding E",
    "inputs": "Inputs S",
}
UNSET = "unset"


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
    info = fields_of(group)[name]
    label = LABELS.get(name, name.replace("_", " ").capitalize())
    key = f"{base}:{group}.{name}"
    given = _widget(info, label, value, key)
    show_fault_of(f"{group}.{name}", faults)
    return given


def show_fault_of(place: str, faults: dict[str, str]) -> None:
    """The fault of a place of the configuration, if it has one."""
    if place in faults:
        st.caption(f":red[:material/error: {plain(faults[place])}]")


def _widget(info: FieldInfo, label: str, value: Any, key: str) -> Any:
    about = plain(info.description or "")
    kind: Any = info.annotation
    if kind is bool:
        return st.toggle(label, value=value, key=key, help=about, persist_state="session")
    if typing.get_origin(kind) is typing.Literal:
        choices = list(typing.get_args(kind))
        return st.selectbox(label, choices, index=choices.index(value), key=key, help=about, persist_state="session")
    if kind in (int, float):
        return _number(kind, label, value, key=key, about=about)
    text = "" if value in (None, {}, []) else yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n")
    return _parsed(
        st.text_input(label, value=text.strip(), key=key, help=about, placeholder=UNSET, persist_state="session"),
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


def _parsed(text: str, *, nothing: Any) -> Any:
    """What was typed, as YAML; what is no YAML stays text, and the configuration refuses it."""
    if not text.strip():
        return nothing
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _may_be_none(kind: Any) -> bool:
    return isinstance(kind, types.UnionType) and types.NoneType in typing.get_args(kind)
