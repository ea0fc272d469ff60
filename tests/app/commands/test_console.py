"""How the shell prints tables, whatever stands in them."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from app.cli import main
from app.commands.console import print_table
from app.commands.use import _named
from iisan_core.data.dataset import Dataset


def test_text_of_the_data_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["[b]item"], [["[red]mug[/red]"], ["[/b]"]], title="like [/b] [italic]x")
    shown = capsys.readouterr().out
    assert shown.startswith("like [/b] [italic]x\n")
    assert all(words in shown for words in ("[b]item", "[red]mug[/red]", "[/b]"))


def test_a_title_is_not_folded_to_the_width_of_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    title = "a title that is longer than the table below it"
    print_table(["n"], [[1]], title=title)
    assert capsys.readouterr().out.splitlines()[0] == title


def test_numbers_stand_right_and_nothing_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["count", "share", "note"], [[12345, 0.5, None], [7, 0.25, True]])
    rows = capsys.readouterr().out.splitlines()[3:5]
    cells = [row.split("│")[1:4] for row in rows]
    assert cells == [[" 12,345 ", "  0.50 ", " –    "], ["      7 ", "  0.25 ", " yes  "]]


def test_an_item_without_a_title_is_called_by_its_id() -> None:
    assert [_named(item, {"a": "mug", "b": None}) for item in "ab"] == ["a, mug", "b"]


@pytest.mark.parametrize(("number", "place"), [(errno.ENOSPC, ""), (errno.EACCES, "/locked/page.html")])
def test_what_the_machine_refuses_is_a_sentence(shell, tmp_path, monkeypatch, number, place):
    def refused(path):
        raise OSError(number, os.strerror(number), place or None)

    monkeypatch.setattr(Dataset, "load", refused)
    done = shell("data", "check", tmp_path)
    assert (done.code, done.out) == (1, "")
    assert done.err == f"iisan: {os.strerror(number)}{f': {place}' if place else ''}\n"


def test_a_fault_of_the_program_keeps_its_traceback(tmp_path, monkeypatch):
    def missing(path):
        raise FileNotFoundError(errno.ENOENT, "No such file")

    monkeypatch.setattr(Dataset, "load", missing)
    monkeypatch.setattr(sys, "argv", ["iisan", "data", "check", str(tmp_path)])
    with pytest.raises(FileNotFoundError):
        main()
