"""`ranks.parquet`: each user's ranks, and what is needed to ask for groups of users without data or model.

The protocol behind a figure, in words: no figure is shown without them (method, section 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iisan_core.data.split import Split
from iisan_core.errors import RefusedError

WHICH = {"valid": "second last", "test": "last"}


def protocol_name(results: Mapping[str, Any], *, subset: str, masked: bool) -> str:
    """How the figures of `subset` came about, from a run's `results.json`.

    >>> results = {"data": {"items": 20314}, "protocol": {"min_interactions": 5, "inputs": 10}}
    >>> protocol_name(results, subset="test", masked=True)
    'leave-one-out: last of ≥ 5 interactions, up to 10 inputs, 20,314 items ranked, history masked'
    """
    settings, items = results["protocol"], results["data"]["items"]
    history = "history masked" if masked else "history not masked (repeats count)"
    return (
        f"leave-one-out: {WHICH[subset]} of ≥ {settings['min_interactions']} interactions, "
        f"up to {settings['inputs']} inputs, {items:,} items ranked, {history}"
    )


SUBSETS = ("valid", "test")

UNMASKED = "_unmasked"
"""Follows the subset in the name of the ranks for which items of the history kept their score."""


def rank_table(split: Split, ranks: Mapping[str, NDArray[np.int64]]) -> pl.DataFrame:
    """One row per user, in the split's order; written by every kind of run as its `ranks.parquet`.

    `ranks` holds [U] ranks for `valid` and `test` and, where repeats are to be evaluated, `valid_unmasked` and
    `test_unmasked`. For each subset the table adds the target's item id, its training interactions (0: cold), the
    length of the history before it, and whether it stands in that history (`test_repeated`).
    """
    counts = split.training_counts()
    item_ids = pl.Series(split.item_ids, dtype=pl.String)
    columns: dict[str, object] = {"user_id": split.user_ids} | dict(ranks)
    for subset in SUBSETS:
        targets, history = split.targets(subset), split.history(subset)
        columns |= {
            f"{subset}_target": item_ids.gather(targets - 1),
            f"{subset}_interactions": counts[targets],
            f"{subset}_history": (history > 0).sum(axis=1),
            f"{subset}_repeated": (history == targets[:, None]).any(axis=1),
        }
    return pl.DataFrame(columns)


def read_rank_table(path: Path) -> pl.DataFrame:
    """Read a run's `ranks.parquet`; raises `RefusedError` if it is absent, broken or no rank table."""
    if not path.is_file():
        raise RefusedError(f"no ranks at {path}: the run has not finished; go on with `iisan resume`")
    try:
        table = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise RefusedError(f"{path} is no readable Parquet file ({error}); train the run again") from None
    absent = [c for c in ("user_id", *SUBSETS) if c not in table.columns]
    if absent:
        raise RefusedError(f"{path} has the columns {table.columns}, {absent} not among them; train the run again")
    return table
