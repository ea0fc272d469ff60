"""Every notebook runs from top to bottom, offline, and keeps to the house's rules for notebooks."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import nbformat
import pytest
from nbmake.nb_run import NotebookRun

from tests.conftest import Demo

ROOT = Path(__file__).parents[2]
BOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LIBRARIES = ("iisan_core", "data_tools", "app")


def code_of(book: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(book, as_version=4).cells if cell.cell_type == "code"]


def test_the_nine_are_there() -> None:
    assert [book.name[:2] for book in BOOKS] == [f"{number:02}" for number in range(1, 10)]


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
class TestForm:
    def test_at_most_a_dozen_short_cells_without_outputs(self, book: Path) -> None:
        notebook = nbformat.read(book, as_version=4)
        assert len(notebook.cells) <= 12
        assert max(len(cell.source.splitlines()) for cell in notebook.cells) <= 24
        assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if "outputs" in cell)

    def test_it_opens_with_what_is_learned_and_ends_with_what_was_seen(self, book: Path) -> None:
        first, *_, last = nbformat.read(book, as_version=4).cells
        assert "You will learn" in first.source
        assert "What you saw" in last.source
        assert "Try next" in last.source

    def test_it_defines_nothing(self, book: Path) -> None:
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
        assert [node for code in code_of(book) for node in ast.walk(ast.parse(code)) if isinstance(node, kinds)] == []

    def test_it_calls_nothing_private(self, book: Path) -> None:
        trees = [ast.parse(code) for code in code_of(book)]
        nodes = [node for tree in trees for node in ast.walk(tree)]
        imported = [name.name for n in nodes if isinstance(n, ast.ImportFrom) for name in n.names]
        assert not [name for name in imported if name.startswith("_")]
        assert not [n.attr for n in nodes if isinstance(n, ast.Attribute) and n.attr.startswith("_")]


@pytest.mark.long
@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_it_runs(book: Path, demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the workspace of `iisan demo`, one for all, as `make notebooks` opens them."""
    run(book, demo.workspace, monkeypatch)


@pytest.mark.slow
def test_the_first_runs_where_nothing_is_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(BOOKS[0], tmp_path / "workspace", monkeypatch)


def run(book: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IISAN_WORKSPACE", str(workspace))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # models this small gain nothing by a second thread
    result = NotebookRun(book, default_timeout=300, verbose=False).execute()
    assert result.error is None, result.error
    outputs = [output for cell in result.nb["cells"] if cell["cell_type"] == "code" for output in cell["outputs"]]
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
    shown = str(outputs)
    for private in (str(workspace), str(ROOT), str(Path.home()) + os.sep):
        assert private not in shown, f"an absolute path is shown: {private}"
    assert any("application/vnd.plotly.v1+json" in output.get("data", {}) for output in outputs)
