"""Every verb explains itself with an example."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import typer.main

from app.cli import VERBS, Verbs, cli


def verbs() -> list[tuple[str, ...]]:
    group = typer.main.get_command(cli)
    assert isinstance(group, Verbs)
    found: list[tuple[str, ...]] = []
    for name in VERBS:
        command = group.get_command(None, name)
        inner = getattr(command, "commands", None)
        found += [(name, sub) for sub in inner] if inner else [(name,)]
    return found


@pytest.mark.parametrize("verb", verbs(), ids=" ".join)
def test_help_has_an_example_that_names_the_verb(shell: Callable[..., Any], verb: tuple[str, ...]) -> None:
    outcome = shell(*verb, "--help")
    assert outcome.code == 0
    assert f"Example: iisan {' '.join(verb)}" in " ".join(outcome.out.replace("│", " ").split())


def test_the_command_lists_all_verbs(shell: Callable[..., Any]) -> None:
    outcome = shell("--help")
    assert all(verb in outcome.out for verb in VERBS)


def test_an_unknown_verb_is_refused(shell: Callable[..., Any]) -> None:
    outcome = shell("fly")
    assert outcome.code == 2
    assert "fly" in outcome.err


def test_a_verb_that_only_reads_tables_does_not_wait_for_torch() -> None:
    program = (
        "import sys; sys.argv = ['iisan', 'data', 'stats', 'nowhere']\n"
        "from app.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 0
