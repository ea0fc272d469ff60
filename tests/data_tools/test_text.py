import html

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data_tools.text import BREAKING, INLINE, SAYS_NOTHING, clean_text, clean_texts, has_entities, says_nothing


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("3&quot; pipe &amp; cap", '3" pipe & cap'),
        ("twice &amp;amp;quot;", 'twice "'),
        ("&#176;C &#xB0;C", "°C °C"),
        ("  a \t b\u00a0c&nbsp;d\u2028e ", "a b c d e"),
        ("AT&T stays", "AT&T stays"),
        ("&nbsp;", ""),
        ("Sofa&sectional", "Sofa&sectional"),
        ("a&copy=1&lt=2", "a&copy=1&lt=2"),
        ('<span id="productTitle" class="a">Blue Cup</span>', "Blue Cup"),
        ("<a title=\"x > y\" href='z'>link</a>", "link"),
        ("<b>Nice</b> &amp; <br />warm<p>and<P CLASS=x>soft", "Nice & warm and soft"),
        ("w<i>or</i>d", "word"),
        ("&lt;b&gt;bold&lt;/b&gt;", "bold"),
        ("x<script>var a = '<b>';</script>y<!-- no -->z<style>p {}</style>", "x y z"),
        ("I <3 it, 2 < 3 > 1, List<String>, <unknown>", "I <3 it, 2 < 3 > 1, List<String>, <unknown>"),
        ("<b 4 and <p title='open>", "<b 4 and <p title='open>"),
        ("be\u200bll\x07\0 so\u00adft\ufeff", "bell soft"),
        ("\u202eRTL\u202c", "RTL"),
        ("👩\u200d🚀 می\u200cخواهم a\u200db", "👩\u200d🚀 می\u200cخواهم ab"),
    ],
)
def test_markup_entities_and_what_nobody_sees_go(raw, clean):
    assert clean_text(raw) == clean


def test_what_shows_nothing_becomes_null():
    cleaned = clean_texts(pl.Series("title", ["a", None, "", " &nbsp; ", "\u200b", "<br>"]))
    assert cleaned.name == "title"
    assert cleaned.to_list() == ["a", None, None, None, None, None]


PIECES = st.sampled_from(
    ["&amp;", "&", ";", "<", ">", "<b>", "</b>", "<br/>", "<!--", "-->", "<script>", "</script>", "\u200d", "\u200b",
     "\0", "\t", "\u2028", "\x1c", "é", "👩", '"', "'", " ", "lt", "#38;"]
)  # fmt: skip
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=20).map("".join))


@settings(max_examples=300)
@given(texts=st.lists(st.one_of(st.none(), TEXTS), max_size=6))
@example(texts=["&am<b>p;"])
def test_the_quick_way_is_the_plain_one(texts):
    expected = [None if text is None else clean_text(text) or None for text in texts]
    assert clean_texts(pl.Series(texts, dtype=pl.String)).to_list() == expected


@settings(max_examples=300)
@given(text=TEXTS)
@example(text="&<b></b>amp;lt;")
def test_a_clean_text_needs_no_cleaning(text):
    clean = clean_text(text)
    assert clean_text(clean) == clean
    assert not has_entities(clean)
    assert clean == " ".join(clean.split())


@given(text=st.text(st.characters(categories=("L", "N", "P", "Sm"), exclude_characters="<&\u0640")))
def test_letters_and_signs_stay(text):
    assert clean_text(text) == text
    assert clean_text(html.escape(text)) == text


@given(words=st.lists(st.text("abc", min_size=1), min_size=1, max_size=5), tag=st.sampled_from([*BREAKING, *INLINE]))
def test_every_tag_goes_and_only_some_part_words(words, tag):
    if tag in ("script", "style"):
        return
    apart = " " if tag in BREAKING else ""
    assert clean_text(f"<{tag} class='x'>".join(words) + f"</{tag.upper()}>") == apart.join(words)


def test_what_programs_write_where_nothing_is():
    texts = pl.Series(["nan", "None", None, "Nan bread", "x"])
    assert says_nothing(texts).to_list() == [True, True, False, False, False]
    assert says_nothing(pl.Series(SAYS_NOTHING)).all()
