"""Text of the data stays text; commands within our sentences are shown as commands."""

from __future__ import annotations

import pytest

from app.formats import plain, sentence


@pytest.mark.parametrize("text", ["a *b*", "<b>", "one ` alone", "three `of` them `", "nothing in ``"])
def test_without_pairs_of_backticks_a_sentence_is_plain_text(text: str) -> None:
    assert sentence(text) == plain(text)


def test_commands_are_shown_as_they_are_typed() -> None:
    assert sentence("use `iisan data --all`, or <i>") == "use `iisan data --all`, or \\<i\\>"
