"""Pydantic at the door: all faults of a configuration together, in sentences."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from iisan_core.errors import RefusedError

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """Base of every record that is read from a file: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def validated(model: type[Model], value: Any, *, where: str) -> Model:
    """Turn plain data into `model`, or raise one `RefusedError` that lists every fault and its place."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = "\n".join(f"  {_sentence(fault)}" for fault in error.errors())
        raise RefusedError(f"{where} cannot be used:\n{faults}") from None


def _sentence(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "(top level)"
    if fault["type"] == "extra_forbidden":
        return f"{place}: unknown key; remove it or correct its spelling"
    return f"{place}: {fault['msg']} (found {fault['input']!r:.80})"
