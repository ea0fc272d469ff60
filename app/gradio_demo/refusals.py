"""Refusals as a visitor reads them: plain sentences that say nothing of where things lie on this machine."""

from __future__ import annotations

import re

from iisan_core.errors import IisanError

FOLDERS = re.compile(r"(?<![\w/.])(?:~|\.{1,2})?/(?:[^\s/:;,'\"()]+/)+")
"""The folders of a path, all that stands before its last name."""


def discreet(error: IisanError) -> str:
    """The message of a refusal, with paths cut to their last names."""
    return FOLDERS.sub("", str(error))


def spoken(error: IisanError) -> str:
    """The same as a sentence: a capital at its beginning, a stop at its end."""
    words = discreet(error)
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")
