"""Every verb explains itself with an example, at once, and says of the library what is true."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import typer.main

from app.bench.random_work import BackboneSizes, Size
from app.cli import VERBS, Verbs, cli
from app.commands import options
from data_tools.importers import IMPORTERS, TAKES
from data_tools.importers.request import ImportOptions
from data_tools.reading.quoting import Quoting
from data_tools.writing import Conflicts
from iisan_core.backbones.loading import Arithmetic, Quantization
from iisan_core.config.places import VARIABLE
from iisan_core.evaluation.metrics import DEFAULT_KS
from iisan_core.evaluation.rank_table import By, Subset
from iisan_core.experiments.designs import STUDIES
from iisan_core.experiments.search_space import SPACES


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


def test_help_imports_no_library() -> None:
    program = (
        "import sys, typer.testing\n"
        "from app.cli import cli\n"
        f"for verb in {[(), *((name,) for name in VERBS), *verbs()]}:\n"
        "    done = typer.testing.CliRunner().invoke(cli, [*verb, '--help'])\n"
        "    assert done.exit_code == 0 and 'Usage' in done.output, verb\n"
        "    found = {'torch', 'transformers', 'polars', 'gradio', 'streamlit', 'plotly'} & set(sys.modules)\n"
        "    assert not found, (verb, found)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_verb_that_only_reads_tables_does_not_wait_for_torch() -> None:
    program = (
        "import sys; sys.argv = ['iisan', 'data', 'stats', 'nowhere']\n"
        "from app.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 0


def parameters(*verb: str) -> dict[str, Any]:
    """The arguments and options of a verb, by name."""
    group = typer.main.get_command(cli)
    assert isinstance(group, Verbs)
    command = group.get_command(None, verb[0])
    for name in verb[1:]:
        command = command.commands[name]
    return {parameter.name: parameter for parameter in command.params}


def test_what_help_says_of_the_library_is_what_the_library_says() -> None:
    assert options.Arithmetic == Arithmetic
    assert options.Quantization == Quantization
    assert options.By == By
    assert (*STUDIES, "scaling", "search") == options.STUDIES
    assert tuple(SPACES) == options.SPACES
    assert tuple(IMPORTERS) == options.KINDS
    assert options.VARIABLE == VARIABLE
    assert "5, 10, 20, 50" in parameters("evaluate")["k"].help and DEFAULT_KS == (5, 10, 20, 50)
    assert options.Subset == Subset
    assert options.Quoting == Quoting
    assert options.Conflicts == Conflicts


def test_import_says_which_kinds_take_an_option() -> None:
    known = parameters("data", "import")
    for field in dataclasses.fields(ImportOptions):
        panel = known[field.name].rich_help_panel
        kinds = [kind for kind, takes in TAKES.items() if field.name in takes]
        assert panel.removeprefix("Options of ").removeprefix("Columns of ") == ", ".join(kinds), field.name


@pytest.mark.parametrize("verb", [verb for verb in verbs() if verb[0] == "bench"], ids=" ".join)
def test_bench_is_by_default_as_large_as_the_library_says(verb: tuple[str, ...]) -> None:
    known = {field.name: field.default for sizes in (Size, BackboneSizes) for field in dataclasses.fields(sizes)}
    if verb[1] == "extract":
        known = {"width": BackboneSizes.text_width, "depth": BackboneSizes.text_layers}
    found = parameters(*verb)
    assert {name: found[name].default for name in known if name in found} == {
        name: default for name, default in known.items() if name in found
    }
