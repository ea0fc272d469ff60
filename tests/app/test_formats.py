"""Numbers as people read them; text of the data stays text, and commands within our sentences commands."""

from __future__ import annotations

import pytest

from app.formats import capitalized, count, duration, html_text, plain, sentence, size


@pytest.mark.parametrize("text", ["a *b*", "<b>", "one ` alone", "three `of` them `", "nothing in ``"])
def test_without_pairs_of_backticks_a_sentence_is_plain_text(text: str) -> None:
    assert sentence(text) == plain(text)


def test_commands_are_shown_as_they_are_typed() -> None:
    assert sentence("use `iisan data --all`, or <i>") == "use `iisan data --all`, or \\<i\\>"


def test_numbers_have_units_that_fit() -> None:
    assert [size(n) for n in (0, 999, 1500, 240_000, 1.5e9, 2e12)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "240 kB",
        "1.5 GB",
        "2.0 TB",
    ]
    assert [duration(s) for s in (0.04, 40, 180, 9000)] == ["40 ms", "40 s", "3 min", "2.5 h"]
    assert [count(n, "run") for n in (0, 1, 1200)] == ["0 runs", "1 run", "1,200 runs"]


def test_only_the_first_letter_is_raised() -> None:
    assert [capitalized(text) for text in ("", "sent SIGTERM")] == ["", "Sent SIGTERM"]


def test_tags_within_a_chart_are_text() -> None:
    assert html_text("<b>A & B's</b>") == "&lt;b&gt;A &amp; B's&lt;/b&gt;"
