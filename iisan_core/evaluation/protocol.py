"""The protocol behind a figure, in words: no figure is shown without them (method, section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WHICH = {"valid": "second last", "test": "last"}


def protocol_name(results: Mapping[str, Any], *, part: str, masked: bool) -> str:
    """How the figures of `part` came about, from a run's `results.json`.

    >>> results = {"data": {"items": 20314}, "protocol": {"min_interactions": 5, "inputs": 10}}
    >>> protocol_name(results, part="test", masked=True)
    'leave-one-out: last of ≥ 5 interactions, up to 10 inputs, 20,314 items ranked, history masked'
    """
    settings, items = results["protocol"], results["data"]["items"]
    history = "history masked" if masked else "history not masked (repeats count)"
    return (
        f"leave-one-out: {WHICH[part]} of ≥ {settings['min_interactions']} interactions, "
        f"up to {settings['inputs']} inputs, {items:,} items ranked, {history}"
    )
