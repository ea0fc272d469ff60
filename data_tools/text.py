"""Texts of a catalogue as a person would type them: without markup, entities, and what nobody sees.

Cleaning, in this order, until nothing changes any more (some sources encode twice): scripts, styles, comments and the
tags of HTML go (those that break a line leave a space), entities that end in a semicolon are decoded. Then control
characters and runs of whitespace become one space, and invisible characters go. Other text in pointed brackets stays.
"""

from __future__ import annotations

import html
import re

import polars as pl

BREAKING = (
    "address", "article", "blockquote", "br", "caption", "center", "dd", "div", "dl", "dt", "figcaption", "figure",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "iframe", "img", "input", "li", "main", "nav",
    "object", "ol", "option", "p", "pre", "section", "select", "table", "tbody", "td", "tfoot", "th", "thead", "tr",
    "ul", "video",
)  # fmt: skip
"""Tags of HTML that part words."""
INLINE = (
    "a", "abbr", "acronym", "audio", "b", "big", "body", "button", "cite", "code", "del", "em", "font", "head", "html",
    "i", "ins", "kbd", "label", "link", "mark", "meta", "q", "s", "script", "small", "source", "span", "strike",
    "strong", "style", "sub", "sup", "title", "tt", "u", "wbr",
)  # fmt: skip
"""Tags of HTML that stand inside of words."""
INVISIBLE = "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
"""Characters that show nothing, as in a class of a regular expression."""
JOINERS = "\u200c\u200d"
"""Invisible, too, but they change how neighbouring letters of some scripts, and emoji, are drawn."""
SAYS_NOTHING = ("nan", "NaN", "NAN", "None", "NULL", "null", "Null", "<NA>", "NaT", "N/A", "n/a", "#N/A", "undefined")
"""What programs write for a value that is not there."""

_INSIDE = r"""(?:\s(?:[^<>"']|"[^"]{0,2000}"|'[^']{0,2000}')*)?/?>"""
_HIDDEN = re.compile(r"<(script|style)\b[^<>]*>.*?</\1\s*>|<!--.*?-->", re.DOTALL | re.IGNORECASE)
_BREAKING = re.compile(rf"</?(?:{'|'.join(BREAKING)}){_INSIDE}", re.IGNORECASE)
_INLINE = re.compile(rf"</?(?:{'|'.join(INLINE)}){_INSIDE}", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,8}|#[xX][0-9a-fA-F]{1,7}|[A-Za-z][A-Za-z0-9]{1,31});")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_UNSEEN = re.compile(rf"[{INVISIBLE}]|(?<![^\x00-\x7f])[{JOINERS}]|[{JOINERS}](?![^\x00-\x7f])")
_RARE = f"[<&{JOINERS}]"
"""What needs more than blanks and invisible characters taken out."""


def clean_text(text: str) -> str:
    """The text as this file's beginning says."""
    before = None
    while before != text:
        before = text
        text = _decoded(_without_tags(text))
        text = " ".join(_BLANK.sub(" ", text).split(" "))
        text = _UNSEEN.sub("", " ".join(text.split()))
    return text


def _without_tags(text: str) -> str:
    if "<" not in text:
        return text
    return _INLINE.sub("", _BREAKING.sub(" ", _HIDDEN.sub(" ", text)))


def _decoded(text: str) -> str:
    """Entities are decoded where a semicolon ends them: `Sofa&sectional` holds none, whatever HTML says."""
    return _ENTITY.sub(lambda found: html.unescape(found.group()), text) if "&" in text else text


def has_entities(text: str) -> bool:
    """Whether HTML entities are left to decode."""
    return _decoded(text) != text


def clean_texts(texts: pl.Series) -> pl.Series:
    """`clean_text` of every entry; what has no visible character becomes null."""
    plain = texts.str.replace_all(r"[\s\p{Cc}]+", " ").str.replace_all(f"[{INVISIBLE}]", "")
    plain = plain.str.replace_all(" +", " ").str.strip_chars(" ")
    rare = texts.str.contains(_RARE).fill_null(False)
    cleaned = pl.Series([clean_text(text) for text in texts.filter(rare)], dtype=pl.String)
    if cleaned.len():
        plain = plain.scatter(rare.arg_true(), cleaned)
    return plain.replace("", None).alias(texts.name)


def says_nothing(texts: pl.Series) -> pl.Series:
    """Which entries are only what programs write for a value that is not there."""
    return texts.is_in(SAYS_NOTHING).fill_null(False)
