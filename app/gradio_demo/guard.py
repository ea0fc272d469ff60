"""What a visitor's program may not ask of this machine: to fetch something from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr


def refuse_addresses(demo: gr.Blocks) -> None:
    """Have every event of a demo refuse files that are addresses.

    Gradio would fetch them, of whatever size, before any function of ours is asked.
    """
    validate = demo.validate_inputs

    def refusing(block_fn: Any, inputs: list[Any]) -> None:
        if any("://" in path for path in _paths(inputs)):
            raise gr.Error("Nothing is fetched from an address; upload the picture itself.", print_exception=False)
        validate(block_fn, inputs)

    demo.validate_inputs = refusing  # type: ignore[method-assign]


def _paths(value: Any) -> Iterator[str]:
    """The paths of all files in what an event brings, however deep."""
    if isinstance(value, dict):
        path = value.get("path")
        if isinstance(path, str):
            yield path
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _paths(part)
