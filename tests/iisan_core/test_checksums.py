"""Lists of checksums: what is damaged is named, what a kill leaves is whole, and what has no list is read as ever."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from iisan_core.errors import RefusedError
from iisan_core.files import begin_list, checked, new_folder, read_json, replacing, seal, write_json, write_text
from iisan_core.files import checksums as module
from iisan_core.files.checksums import CHECKSUMS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "folder"
    begin_list(place)
    write_text(place / "one", "first")
    write_text(place / "best" / "0" / "two", "second")
    return place


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes and was written with"),
    "flipped": (
        lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
        "other bytes",
    ),
    "emptied": (lambda path: path.write_bytes(b""), "is empty"),
    "gone": (lambda path: path.unlink(), "is gone"),
}


@pytest.mark.parametrize("name", ["one", "best/0/two"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_named_and_what_to_do(folder: Path, name: str, damage: str) -> None:
    assert checked(folder / name) == folder / name
    act, said = DAMAGES[damage]
    act(folder / name)
    with pytest.raises(RefusedError, match=rf"{folder / name} .*{said}.*remove .*{CHECKSUMS}"):
        checked(folder / name)
    (folder / CHECKSUMS).unlink()
    assert checked(folder / name) == folder / name


def test_a_file_of_another_folder_of_the_same_shape_is_named(folder: Path, tmp_path: Path) -> None:
    begin_list(tmp_path / "other")
    write_text(tmp_path / "other" / "one", "other")
    shutil.copy(tmp_path / "other" / "one", folder / "one")
    with pytest.raises(RefusedError, match="another folder's"):
        checked(folder / "one")


def test_another_folders_list_is_noticed(folder: Path, tmp_path: Path) -> None:
    begin_list(tmp_path / "other")
    write_text(tmp_path / "other" / "one", "other")
    shutil.copy(tmp_path / "other" / CHECKSUMS, folder / CHECKSUMS)
    with pytest.raises(RefusedError, match="one has other bytes"):
        checked(folder / "one")


@pytest.mark.parametrize("said", ["", "{", "[]", "null", '{"files": {}}', "[" * 100_000])
def test_a_damaged_list_is_named_itself(folder: Path, said: str) -> None:
    (folder / CHECKSUMS).write_text(said)
    with pytest.raises(RefusedError, match=rf"{CHECKSUMS} is no list of checksums.*remove it"):
        checked(folder / "one")


def test_every_byte_of_a_list_counts(folder: Path) -> None:
    whole = (folder / CHECKSUMS).read_bytes()
    files = [folder / "one", folder / "best" / "0" / "two"]
    for place in range(len(whole)):
        (folder / CHECKSUMS).write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            for file in files:
                checked(file)
        except RefusedError:
            continue
        said, before = (json.loads(text) for text in ((folder / CHECKSUMS).read_bytes(), whole))
        assert said == before, "spaces alone say nothing"


def test_what_is_replaced_in_one_step_joins_the_list(folder: Path) -> None:
    for said in ("a", "b", "bb"):
        write_text(folder / "one", said)
        checked(folder / "one")
    write_json(folder / "status.json", {})
    assert sorted(read_json(folder / CHECKSUMS, what="list")["files"]) == ["best/0/two", "one"]


def test_folders_of_before_are_read_unchecked(tmp_path: Path) -> None:
    write_text(tmp_path / "one", "first")
    (tmp_path / "one").write_text("other")
    assert checked(tmp_path / "one").read_text() == "other"
    assert not (tmp_path / CHECKSUMS).exists()


def test_a_finished_folder_is_sealed_as_it_is(tmp_path: Path) -> None:
    with new_folder(tmp_path / "made") as unfinished:
        (unfinished / "one").write_text("first")
        seal(unfinished, ("one",))
    checked(tmp_path / "made" / "one")
    (tmp_path / "made" / "one").write_text("other")
    with pytest.raises(RefusedError):
        checked(tmp_path / "made" / "one")


class KilledError(BaseException):
    """Stands in for a kill: nobody catches it."""


STEPS = ("before the list", "between list and file", "between file and list", "after all")


@pytest.mark.parametrize("name", ["one", "new"])
@pytest.mark.parametrize("step", range(4), ids=STEPS)
def test_a_kill_at_any_step_leaves_list_and_file_agreeing(
    folder: Path, name: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, taken = folder / name, [0]
    before = path.read_text() if path.exists() else None
    replace = Path.replace

    def counted(source: Path, target: Path) -> Path:  # every step ends in a renaming: list, file, list
        if taken[0] == step:
            raise KilledError
        taken[0] += 1
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", counted)
    try:
        write_text(path, "again")
    except KilledError:
        assert step < 3
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(module, "_lists", {})
    monkeypatch.setattr(module, "_files", {})
    checked(path)
    assert (path.read_text() if path.exists() else None) == (before if step < 2 else "again")
    write_text(path, "at last")
    checked(path)


def test_a_block_that_fails_leaves_file_and_list_alone(folder: Path) -> None:
    before = (folder / CHECKSUMS).read_bytes()
    with pytest.raises(ZeroDivisionError), replacing(folder / "one") as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert (folder / CHECKSUMS).read_bytes() == before
    checked(folder / "one")


def test_a_file_is_read_for_this_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_files", {})
    read: list[Path] = []
    hashed = module.sha256_of_file
    monkeypatch.setattr(module, "sha256_of_file", lambda path: read.append(path) or hashed(path))
    for _ in range(3):
        checked(folder / "one")
    assert read == [folder / "one"]
