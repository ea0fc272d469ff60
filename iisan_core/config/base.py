"""What every record of the configuration is made of: strictness, sentences for faults, words that fields share."""

from __future__ import annotations

import reprlib
from itertools import islice
from typing import Any, Literal, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from iisan_core.errors import RefusedError

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """Base of every record that is read from a file: unknown keys are refused, numbers are finite, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def validated(model: type[Model], value: Any, *, where: str) -> Model:
    """Turn plain data into `model`, or raise one `RefusedError` that lists every fault and its place."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = "\n".join(f"  {_sentence(fault)}" for fault in error.errors())
        raise RefusedError(f"{where} cannot be used:\n{faults}") from None


class _InOrder(reprlib.Repr):
    """Says what was found, and not all of it: by its aliases YAML makes values that as text would fill any memory."""

    def repr_dict(self, value: dict[Any, Any], level: int) -> str:
        """The first entries, in their own order."""
        if level <= 0:
            return "{...}"
        first = islice(value.items(), self.maxdict)
        return "{" + ", ".join(f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k, v in first) + "}"


shortened = _InOrder()
shortened.maxstring = shortened.maxother = 90


def _sentence(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "(top level)"
    if fault["type"] == "extra_forbidden":
        return f"{place}: unknown key; remove it or correct its spelling"
    found = shortened.repr(fault["input"])
    return f"{place}: {fault['msg']} (found {found:.80})"


def renamed(values: Any, **names: str) -> Any:
    """Keys of a record that was written before under their names of now; old name → new name."""
    if not isinstance(values, dict):
        return values
    return {key: value for key, value in values.items() if key not in names} | {
        names[key]: value for key, value in values.items() if key in names
    }


_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_yaml(text: str) -> Any:
    """The value that a YAML text says; raises `yaml.YAMLError` if it is none."""
    return yaml.load(text, Loader=_LOADER)


WIDEST = 65_536
"""Numbers in a vector, and heads, ranks and the like: what asks for more is a slip of the pen."""

INTER = "inter"
"""The tower that holds all modalities."""

IDS = "ids"
"""The part of an item vector that is the item's own, learned from interactions alone."""

FROZEN = "frozen"
"""The parts of a score that are cached states as they are, one for each modality."""

TOGETHER = "together"
"""The part of a score that is counted: items that stand with those of the history."""

DeviceChoice: TypeAlias = Literal["auto", "cpu", "cuda"]

Precision: TypeAlias = Literal["float32", "bfloat16"]
"""Arithmetic of a network, be it trained or frozen."""

PrecisionChoice: TypeAlias = Literal["auto", "float32", "bfloat16"]
"""`auto`: what suits the machine, or the network."""

StoredDtype: TypeAlias = Literal["float16", "bfloat16", "float32"]
"""Number formats of cached states."""

Modality: TypeAlias = Literal["text", "image", "video", "audio", "joint"]
"""The kinds of input that an item may have, and that backbones read; `joint` is picture and text in one pass."""
