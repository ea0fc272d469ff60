"""Every verb explains itself with an example."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer.main

from app.cli import cli


def verbs() -> Iterator[tuple[str, ...]]:
    for name, command in typer.main.get_command(cli).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        yield from ((name, sub) for sub in inner) if inner else [(name,)]


@pytest.mark.parametrize("verb", list(verbs()), ids=" ".join)
def test_help_has_an_example_that_names_the_verb(shell: Callable[..., Any], verb: tuple[str, ...]) -> None:
    outcome = shell(*verb, "--help")
    assert outcome.code == 0
    assert f"Example: iisan {' '.join(verb)}" in " ".join(outcome.out.replace("│", " ").split())
