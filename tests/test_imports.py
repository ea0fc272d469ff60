"""Imports point one way: between the packages, between the rooms of each, and never in a circle."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARIES = ("iisan_core", "data_tools")
FACES = {"streamlit", "gradio", "typer"}

ROOMS: dict[str, tuple[str, ...]] = {
    "iisan_core": (
        "errors",
        "files",
        "computing",
        "config",
        "data",
        "model",
        "backbones",
        "evaluation",
        "cache",
        "training",
        "runs",
        "finetuning",
        "serving",
        "experiments",
    ),
    "data_tools": (
        "times",
        "text",
        "languages",
        "reading",
        "written_times",
        "ids",
        "downloads",
        "images",
        "picture_names",
        "vectors",
        "import_report",
        "writing",
        "media",
        "filtering",
        "statistics",
        "checks",
        "web_images",
        "importers",
        "updating",
        "given_split",
        "captions",
        "demo",
    ),
    "app": (
        "formats",
        "names",
        "pictures",
        "jobs",
        "keeping",
        "bench",
        "planning",
        "charts",
        "api",
        "ui",
        "pages",
        "gradio_demo",
        "demo",
        "space",
        "main",
        "extraction_options",
        "commands",
        "cli",
        "__main__",
    ),
}
"""Modules and packages of each package, bottom to top; each may import those before it."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for package in ROOMS for path in sorted((ROOT / package).rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
OF_LIBRARIES = [name for name in MODULES if name.split(".")[0] in LIBRARIES]
DOTTED = re.compile(rf"(?:{'|'.join(ROOMS)})(?:\.\w+)+")


def imported(name: str) -> Iterator[str]:
    """Every module that `name` imports, wherever in the file; `from package import module` names the module."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively; imports are absolute here"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def named(tree: ast.Module) -> Iterator[str]:
    """Every module of ours that is named in a string: what `python -m`, or an import by name, would load."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for dotted in DOTTED.findall(node.value):
                parts = dotted.split(".")
                prefixes = (".".join(parts[:n]) for n in range(len(parts), 1, -1))
                yield from [prefix for prefix in prefixes if prefix in MODULES][:1]


IMPORTS = {name: set(imported(name)) for name in MODULES}
REACHES = {name: IMPORTS[name] | set(named(TREES[name])) for name in MODULES}


def place(name: str) -> tuple[str, int]:
    """The package of a module, and its room's number in it; −1 for the package itself, which imports nothing."""
    package, _, rest = name.partition(".")
    return package, ROOMS[package].index(rest.split(".")[0]) if rest else -1


@pytest.mark.parametrize("package", ROOMS)
def test_every_module_has_its_room(package: str) -> None:
    found = {name.split(".")[1] for name in MODULES if name.startswith(f"{package}.")}
    assert found == set(ROOMS[package]), "say in ROOMS where a new module belongs"


def test_the_core_has_at_most_fourteen_rooms() -> None:
    assert len(ROOMS["iisan_core"]) <= 14


@pytest.mark.parametrize("name", MODULES)
def test_modules_reach_downwards_only(name: str) -> None:
    """By an import or by a name in a string; between the packages, and between the rooms of one."""
    allowed = {"iisan_core": {"iisan_core"}, "data_tools": {"iisan_core", "data_tools"}, "app": set(ROOMS)}
    package, room = place(name)
    ours = {other for other in REACHES[name] if other.split(".")[0] in ROOMS}
    assert {other for other in ours if place(other)[0] not in allowed[package]} == set()
    assert {other for other in ours if place(other)[0] == package and place(other)[1] > room} == set()


def test_names_in_strings_are_seen() -> None:
    assert list(named(ast.parse("run(['python', '-m', 'app.cli', 'app.nowhere'])"))) == ["app.cli"]


def test_only_the_app_knows_its_faces() -> None:
    wrong = {(n, o) for n, others in IMPORTS.items() for o in others if o.split(".")[0] in FACES and n in OF_LIBRARIES}
    assert wrong == set()
    assert any("typer" in others for others in IMPORTS.values()), "the test does see such imports"


def test_no_module_imports_itself_in_a_circle() -> None:
    own = {name: {o for o in others if o in MODULES and o != name} for name, others in IMPORTS.items()}
    order = list(graphlib.TopologicalSorter(own).static_order())  # raises CycleError, which names the circle
    assert set(order) == set(MODULES)


@pytest.mark.parametrize("name", OF_LIBRARIES)
def test_library_modules_neither_print_nor_pickle(name: str) -> None:
    calls = {n.func.id for n in ast.walk(TREES[name]) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert "print" not in calls
    assert not {"pickle", "dill", "joblib", "shelve"} & {other.split(".")[0] for other in IMPORTS[name]}


def test_no_module_is_called_utils() -> None:
    assert [path for path in MODULES.values() if path.stem in ("utils", "util", "helpers", "misc")] == []


def test_importing_the_library_touches_no_gpu() -> None:
    program = f"import importlib, torch; [importlib.import_module(n) for n in {OF_LIBRARIES}]; "
    program += "assert not torch.cuda.is_initialized()"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, cwd=ROOT)
