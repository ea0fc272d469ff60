import subprocess
import sys
from pathlib import Path

import pytest

from iisan_core.errors import RefusedError
from iisan_core.files import (
    new_folder,
    read_json,
    refuse_existing,
    replacing,
    sha256_of_file,
    sha256_of_texts,
    unfinished,
    write_json,
    write_text,
)

ROOT = Path(__file__).parents[2]


class OwnError(Exception):
    pass


def test_replacing_shows_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "deep" / "file"
    write_text(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent, "a rename is one step only within a file system"
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_replacement_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(OwnError), replacing(path) as temporary:
        temporary.write_text("half")
        raise OwnError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_folder_appears_whole(tmp_path):
    path = tmp_path / "deep" / "folder"
    with new_folder(path) as folder:
        write_text(folder / "inside", "x")
        assert not path.exists()
    assert [p.name for p in path.iterdir()] == ["inside"]
    assert path.stat().st_mode & 0o777 == 0o755
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_new_folder_leaves_nothing_behind(tmp_path):
    with pytest.raises(OwnError), new_folder(tmp_path / "folder") as folder:
        write_text(folder / "inside", "x")
        raise OwnError
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from iisan_core.files import new_folder

with new_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("x")
    os.kill(os.getpid(), signal.Signals[sys.argv[2]])
"""


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL"])
def test_what_a_killed_process_left_goes_with_the_next_folder(tmp_path, signal):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "folder"), signal], check=False, cwd=ROOT)
    (left,) = tmp_path.iterdir()
    assert unfinished(tmp_path) == [left]
    with new_folder(tmp_path / "other") as folder:
        assert not left.exists()
        assert unfinished(tmp_path) == [], "what is being made is not left behind"
        with new_folder(tmp_path / "third"):
            assert folder.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "third"]


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "folder").mkdir()
    with new_folder(tmp_path / "folder") as folder:
        write_text(folder / "inside", "x")
    assert (tmp_path / "folder" / "inside").read_text() == "x"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nobodys_work_is_overwritten(tmp_path, kind):
    path = tmp_path / "taken"
    mine = path if kind == "file" else path / "inside"
    write_text(mine, "mine")
    with pytest.raises(RefusedError, match="exists already; choose another place or remove it first"), new_folder(path):
        raise AssertionError("the block must not be entered")
    assert mine.read_text() == "mine"
    with pytest.raises(RefusedError, match="exists already"):
        refuse_existing(path)


@pytest.mark.parametrize("place", ["file", "file/below", "file/further/below"])
def test_a_file_in_the_way_is_refused(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    for make in (replacing, new_folder):
        with (
            pytest.raises(RefusedError, match="a file is in its way; choose another place"),
            make(tmp_path / place / "x"),
        ):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    with pytest.raises(RefusedError, match="it is a folder; give the name of a file"):
        write_text(tmp_path, "page")


def test_a_place_taken_meanwhile_is_refused(tmp_path):
    path = tmp_path / "folder"
    with pytest.raises(RefusedError, match="exists already"), new_folder(path) as folder:
        write_text(folder / "inside", "second")
        write_text(path / "inside", "first")
    assert (path / "inside").read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_json_round_trip(tmp_path):
    value = {"a": [1, 2.5, None], "ü": "ß"}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json", what="record") == value
    assert "ü" in (tmp_path / "x.json").read_text(encoding="utf-8")


def test_json_that_is_not_there_or_is_none(tmp_path):
    with pytest.raises(RefusedError, match=r"no record at .*x.json: the file does not exist"):
        read_json(tmp_path / "x.json", what="record")
    for raw in (b"{", b"\xff\xfe"):
        (tmp_path / "x.json").write_bytes(raw)
        with pytest.raises(RefusedError, match=r"x.json is no record: not valid JSON"):
            read_json(tmp_path / "x.json", what="record")


def test_hashes_tell_contents_apart(tmp_path):
    for name, content in {"a": "1", "b": "1", "c": "2"}.items():
        write_text(tmp_path / name, content)
    a, b, c = (sha256_of_file(tmp_path / name) for name in "abc")
    assert a == b != c
    lists = (["ab", "c"], ["a", "bc"], ["abc"], ["c", "ab"], ["ab", "c", ""], [])
    assert len({sha256_of_texts(texts) for texts in lists}) == len(lists), "order and boundaries count"
