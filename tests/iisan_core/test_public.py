"""The public interface is what `__all__` lists, and loads without torch until torch is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import iisan_core


@pytest.mark.parametrize("name", iisan_core.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(iisan_core, name).__doc__


def test_all_is_sorted_and_what_is_loaded_lazily() -> None:
    assert sorted(iisan_core.__all__) == sorted(iisan_core._HOME_OF)
    assert set(iisan_core.__all__) <= set(dir(iisan_core))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'wings'"):
        iisan_core.wings  # noqa: B018


def test_reading_a_dataset_does_not_import_torch() -> None:
    program = "import sys; from iisan_core import Dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
