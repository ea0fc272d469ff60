"""Text as a person would type it: HTML entities decoded, whitespace collapsed."""

from __future__ import annotations

import html

import polars as pl


def clean_text(text: str) -> str:
    """Decode HTML entities until none is left (some sources encode twice) and collapse whitespace."""
    decoded = html.unescape(text)
    while decoded != text:
        text, decoded = decoded, html.unescape(decoded)
    return " ".join(decoded.split())


def has_entities(text: str) -> bool:
    """Whether HTML entities are left to decode."""
    return html.unescape(text) != text


def clean_texts(texts: pl.Series) -> pl.Series:
    """`clean_text` of every entry; what has no visible character becomes null."""
    cleaned = [clean_text(text) or None if text is not None else None for text in texts.to_list()]
    return pl.Series(texts.name, cleaned, dtype=pl.String)
