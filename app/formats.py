"""Numbers, sizes and times as people read them, and text of the data that stays text."""

from __future__ import annotations

import html
import re
import time

_FOLDERS = re.compile(r"(?<![\w/.])(?:~|\.{1,2})?/(?:[^\s/:;,'\"()]+/)+")
"""The folders of a path, all that stands before its last name."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$:~&])")


def size(count: float) -> str:
    """Bytes with a unit: `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds with a unit that fits: `40 s`, `3 min`, `2.5 h`."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def since(moment: float) -> str:
    """How long ago a time in seconds since 1970 was: `3 min`."""
    return duration(max(time.time() - moment, 1))


def count(number: int, what: str) -> str:
    """`1 run`, `1,200 runs`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def capitalized(text: str) -> str:
    """The same with a capital at its beginning; `str.capitalize` would take the others away."""
    return text[:1].upper() + text[1:]


def html_text(text: str) -> str:
    """Text for HTML, or for a chart, which reads some of it: shown as it is. Not for what stands within quotes."""
    return html.escape(text, quote=False)


def discreet(error: Exception) -> str:
    """The message of a refusal, with paths cut to their last names: not where things lie on this machine."""
    return _FOLDERS.sub("", str(error))


def plain(text: str) -> str:
    """Markdown that shows `text` as it is: no tags, links, formulas or icons."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def sentence(text: str) -> str:
    """Like `plain`, but what stands between two backticks is shown as the command that it is."""
    pieces = " ".join(text.split()).split("`")
    if len(pieces) % 2 == 0 or "" in pieces[1::2]:  # they do not come in pairs
        return plain(text)
    escaped = [_MARKDOWN.sub(r"\\\1", piece) for piece in pieces[::2]]
    return "".join(f"{outside}`{code}`" for outside, code in zip(escaped, pieces[1::2], strict=False)) + escaped[-1]
