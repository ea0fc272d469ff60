"""Errors that reach the user as one sentence: what was found, what is allowed, what to do."""

from __future__ import annotations

import re

LONGEST = 300
"""Characters of a library's message that are quoted at most."""


class IisanError(Exception):
    """Work that was asked for correctly and failed. The shell prints the sentence and exits with 1."""

    exit_code = 1


class RefusedError(IisanError):
    """Input that cannot be worked with, refused before anything was done. The shell exits with 2."""

    exit_code = 2


def first_sentence(error: BaseException) -> str:
    """The first whole sentence of a library's message, on one line; the error's kind where it has no message."""
    text = " ".join(str(error).split())
    sentence = re.split(r"(?<=[.!?])\s+(?=[A-Z`'\"])", text, maxsplit=1)[0].rstrip(". ")
    if len(sentence) > LONGEST:
        sentence = sentence[:LONGEST].rsplit(" ", 1)[0] + " …"
    return sentence or type(error).__name__
