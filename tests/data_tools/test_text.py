import polars as pl
import pytest

from data_tools.text import clean_text, clean_texts


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("3&quot; pipe &amp; cap", '3" pipe & cap'),
        ("twice &amp;amp;quot;", 'twice "'),
        ("&#176;C &#xB0;C", "°C °C"),
        ("  a \t b\u00a0c&nbsp;d\u2028e ", "a b c d e"),
        ("AT&T stays", "AT&T stays"),
        ("&nbsp;", ""),
    ],
)
def test_entities_are_decoded_and_whitespace_collapsed(raw, clean):
    assert clean_text(raw) == clean


def test_what_shows_nothing_becomes_null():
    cleaned = clean_texts(pl.Series("title", ["a", None, "", " &nbsp; "]))
    assert cleaned.name == "title"
    assert cleaned.to_list() == ["a", None, None, None]
