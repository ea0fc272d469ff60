"""Imports point one way: between the packages, between the layers of the library, and never in a circle."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("iisan_core", "data_tools", "app")
LIBRARIES = ("iisan_core", "data_tools")
FACES = {"streamlit", "gradio", "typer"}

LAYERS = (
    "errors",
    "files",
    "yaml_text",
    "validation",
    "prefetch",
    "dataset",
    "config",
    "presets",
    "sequences",
    "loss",
    "metrics",
    "bootstrap",
    "products",
    "ranking",
    "model",
    "backbones",
    "cache",
    "extraction",
    "workspace",
    "status",
    "job_folder",
    "run_folder",
    "study_folder",
    "evaluation",
    "comparison",
    "jobs",
    "baselines",
    "training",
    "serving",
    "recommender",
    "inspection",
    "embedded",
    "bench",
    "planning",
    "studies",
    "charts",
)
"""Modules and packages of `iisan_core`, bottom to top; each may import those before it."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


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


IMPORTS = {name: set(imported(name)) for name in MODULES}


def top(name: str) -> str:
    return name.split(".")[0]


def test_packages_import_downwards_only() -> None:
    allowed = {"iisan_core": {"iisan_core"}, "data_tools": {"iisan_core", "data_tools"}, "app": set(PACKAGES)}
    wrong = {
        (name, other)
        for name, others in IMPORTS.items()
        for other in others
        if top(other) in PACKAGES and top(other) not in allowed[top(name)]
    }
    assert wrong == set()


def test_only_the_app_knows_its_faces() -> None:
    wrong = {(name, o) for name, others in IMPORTS.items() for o in others if top(o) in FACES and top(name) != "app"}
    assert wrong == set()
    assert any("typer" in others for others in IMPORTS.values()), "the test does see such imports"


def test_no_module_imports_itself_in_a_circle() -> None:
    own = {name: {o for o in others if o in MODULES and o != name} for name, others in IMPORTS.items()}
    order = list(graphlib.TopologicalSorter(own).static_order())  # raises CycleError, which names the circle
    assert set(order) == set(MODULES)


def layer(name: str) -> str:
    return name.split(".")[1]


CORE = [name for name in MODULES if name.startswith("iisan_core.")]


def test_every_module_of_the_library_has_its_layer() -> None:
    found = {layer(name) for name in CORE}
    assert found == set(LAYERS), "say in LAYERS where a new module belongs"


@pytest.mark.parametrize("name", CORE)
def test_layers_import_downwards_only(name: str) -> None:
    below = LAYERS[: LAYERS.index(layer(name)) + 1]
    core = {other for other in IMPORTS[name] if other.startswith("iisan_core.")}
    assert {other for other in core if layer(other) not in below} == set()


@pytest.mark.parametrize("name", [name for name in MODULES if top(name) in LIBRARIES])
def test_library_modules_neither_print_nor_pickle(name: str) -> None:
    calls = {n.func.id for n in ast.walk(TREES[name]) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert "print" not in calls
    assert not {"pickle", "dill", "joblib", "shelve"} & {top(other) for other in IMPORTS[name]}


def test_no_module_is_called_utils() -> None:
    assert [path for path in MODULES.values() if path.stem in ("utils", "util", "helpers", "misc")] == []


def test_importing_the_library_touches_no_gpu() -> None:
    names = [name for name in MODULES if top(name) in LIBRARIES]
    program = f"import importlib, torch; [importlib.import_module(n) for n in {names}]; "
    program += "assert not torch.cuda.is_initialized()"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, cwd=ROOT)
