"""Requests that cannot be answered, of every kind that hypothesis and we can think of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

VALID: dict[str, dict[str, Any]] = {
    "/recommend": {"histories": [["i00", "i06"]], "k": 3},
    "/similar": {"item_id": "i03", "k": 3},
    "/explain": {"item_id": "i03", "history": ["i00", "i06"]},
    "/items": {"items": [{"item_id": "N1", "title": "red mug"}], "k": 3},
}
NUMBERS = st.one_of(st.integers(), st.floats(), st.just(10**400))
JUNK = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@dataclass(frozen=True)
class Malformed:
    """A request, and what is wrong with it."""

    fault: str
    path: str
    content: bytes
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 50


def is_id(value: object) -> bool:
    return isinstance(value, str) and value in {"i00", "i06", "i03"}


def is_history(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_id, value))


def _wrong(name: str, value: object) -> bool:
    """Whether no request may have this value there."""
    if name == "k":
        return not is_count(value)
    if name == "item_id":
        return not is_id(value)
    if name == "history":
        return not is_history(value)
    if name == "histories":
        return not (isinstance(value, list) and value and all(map(is_history, value)))
    return not (isinstance(value, list) and value and all(isinstance(item, dict) and item for item in value))


def _as_json(value: object) -> bytes:
    return json.dumps(value).encode()  # NaN, Infinity and lone surrogates as Python writes them


@st.composite
def wrong_values(draw: st.DrawFn) -> Malformed:
    """One field of a good body holds something else."""
    path = draw(st.sampled_from(sorted(VALID)))
    name = draw(st.sampled_from(sorted(VALID[path])))
    value = draw(JUNK.filter(lambda junk: _wrong(name, junk)))
    return Malformed(f"{name} is wrong", path, _as_json(VALID[path] | {name: value}))


@st.composite
def wrong_fields(draw: st.DrawFn) -> Malformed:
    """A body with a field that no body has, or without one that it must have."""
    path = draw(st.sampled_from(sorted(VALID)))
    body = dict(VALID[path])
    if draw(st.booleans()):
        body["x" + draw(st.text(max_size=8))] = draw(JUNK)
    else:
        del body[draw(st.sampled_from(sorted(set(body) - {"k"})))]
    return Malformed("a field too many or too few", path, _as_json(body))


@st.composite
def no_objects(draw: st.DrawFn) -> Malformed:
    """JSON that is no object, JSON cut short, bytes that are no JSON, nesting without end."""
    path = draw(st.sampled_from(sorted(VALID)))
    whole = _as_json(VALID[path])
    content = draw(
        st.one_of(
            JUNK.filter(lambda junk: not isinstance(junk, dict)).map(_as_json),
            st.integers(0, len(whole) - 1).map(lambda end: whole[:end]),
            st.binary(max_size=40).map(lambda raw: b"\xff" + raw),
            st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b'"' + b"\\ud800" * 9 + b'"']),
        )
    )
    return Malformed("no object", path, content)


@st.composite
def wrong_ways(draw: st.DrawFn) -> Malformed:
    """Paths, methods and headers that there are not."""
    kind = draw(st.sampled_from(["path", "method", "type", "length", "user", "newest"]))
    word = draw(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12))
    body = _as_json(VALID["/similar"])
    if kind == "path":
        return Malformed("no such path", f"/x{word}/../{word}", body)
    if kind == "method":
        return Malformed(
            "not with this method", "/similar", body, method=draw(st.sampled_from(["GET", "PUT", "DELETE"]))
        )
    if kind == "type":
        return Malformed(
            "no JSON", "/similar", body, headers={"Content-Type": draw(st.sampled_from(["text/plain", ""]))}
        )
    if kind == "length":
        return Malformed("more than is taken", "/similar", body, headers={"Content-Length": str(10**9)})
    if kind == "newest":
        return Malformed(
            "no count", f"/users/u05?newest={draw(st.sampled_from(['0', '-1', 'x', '1e9', '']))}", b"", "GET"
        )
    return Malformed("no such user", f"/users/%00{word}", b"", method="GET")


MALFORMED = st.one_of(wrong_values(), wrong_fields(), no_objects(), wrong_ways())
