"""Names that visitors give stay within the workspace; a proposed one is free."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.names import fault_of_run_name, free_name, new_place, tame_file_name
from iisan_core.errors import RefusedError


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/b", "a..b", "", ".hidden", "x" * 65, "a\nb", "trailing."])
def test_names_stay_within_the_workspace(tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedError, match="cannot name a dataset"):
        new_place(tmp_path, name, what="dataset")


def test_a_taken_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(RefusedError, match="there is a dataset 'mine' already"):
        new_place(tmp_path, "mine", what="dataset")


def test_file_names_of_uploads_lead_nowhere() -> None:
    assert tame_file_name("../../etc/passwd") == "passwd"
    assert tame_file_name("..\\..\\boot.ini") == "boot.ini"
    assert tame_file_name("...") == "file"


def test_a_run_is_named_without_spaces_and_once(tmp_path: Path) -> None:
    assert fault_of_run_name(tmp_path, "shop-text.1") == ""
    assert "letters, digits, dots" in fault_of_run_name(tmp_path, "New run")
    (tmp_path / "mine").mkdir()
    assert "exists already" in fault_of_run_name(tmp_path, "mine")


def test_the_first_free_number_is_proposed(tmp_path: Path) -> None:
    assert free_name(tmp_path, "my shop/text") == "my-shop-text-1"
    (tmp_path / "shop-1").mkdir()
    (tmp_path / "shop-3").mkdir()
    assert free_name(tmp_path, "shop") == "shop-2"
    assert free_name(tmp_path, "...") == "run-1"
    assert not fault_of_run_name(tmp_path, free_name(tmp_path, "x" * 200))
