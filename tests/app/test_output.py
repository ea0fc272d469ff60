"""How the shell prints tables, whatever stands in them."""

from __future__ import annotations

import pytest

from app.shell.output import print_table
from app.shell.use import _named


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
