"""The public interface is what `__all__` lists, and loads without torch until torch is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import iisan_core

STUB = ast.parse(Path(iisan_core.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", iisan_core.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(iisan_core, name).__doc__


def test_all_is_what_the_stub_says() -> None:
    imported = [alias.name for n in ast.walk(STUB) if isinstance(n, ast.ImportFrom) for alias in n.names]
    [listed] = [ast.literal_eval(n.value) for n in STUB.body if isinstance(n, ast.Assign)]
    assert sorted(iisan_core.__all__) == sorted(imported) == listed
    assert set(iisan_core.__all__) <= set(dir(iisan_core))


def test_about_twenty_names_are_public() -> None:
    assert 15 <= len(iisan_core.__all__) <= 25


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="wings"):
        iisan_core.wings  # noqa: B018


def test_reading_a_dataset_does_not_import_torch() -> None:
    program = "import sys; from iisan_core import Dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
