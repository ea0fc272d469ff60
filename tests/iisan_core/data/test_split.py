"""The split on logs small enough to read."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from iisan_core.config.schema import ProtocolConfig
from iisan_core.data.dataset import Dataset, DatasetCard
from iisan_core.data.split import split
from iisan_core.errors import RefusedError

CATALOGUE = "zyxwvutsrqponmlkjihgfedcba"
"""In an order of its own, so that catalogue order is no other order by chance."""


def dataset(log, *, catalogue=CATALOGUE):
    """`log`: user → one letter per interaction, oldest first."""
    rows = [(user, item, time) for user, items in log.items() for time, item in enumerate(items)]
    return Dataset(
        folder=Path("somewhere"),
        card=DatasetCard(name="letters", source="made by a test", counts={}),
        items=pl.DataFrame({"item_id": list(catalogue)}),
        interactions=pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"),
    )


def letters(kept, numbers):
    return "".join("·" if n == 0 else kept.item_ids[n - 1] for n in numbers)


def test_the_last_thirteen_are_kept_padded_on_the_left():
    log = {"long": "abcdefghijklmno", "exact": "abcdefghijklm", "short": "abcdef"}
    kept = split(dataset(log), ProtocolConfig())
    assert kept.user_ids == ["long", "exact", "short"]
    assert [letters(kept, row) for row in kept.sequences] == ["cdefghijklmno", "abcdefghijklm", "·······abcdef"]


def test_training_validation_and_test_parts():
    kept = split(dataset({"u": "abcdef"}), ProtocolConfig(max_history=4))
    assert letters(kept, kept.train[0]) == "·abcd"
    assert letters(kept, kept.history("valid")[0]) == "··abcd"
    assert letters(kept, kept.targets("valid")) == "e"
    assert letters(kept, kept.history("test")[0]) == "·abcde"
    assert letters(kept, kept.targets("test")) == "f"


def test_a_long_user_loses_the_oldest_from_inputs_only():
    kept = split(dataset({"u": "abcdefg"}), ProtocolConfig(max_history=4))
    assert letters(kept, kept.sequences[0]) == "abcdefg"
    assert letters(kept, kept.history("valid")[0]) == "·abcde"
    assert letters(kept, kept.history("test")[0][-kept.max_history :]) == "cdef"


def test_users_below_the_minimum_are_left_out():
    kept = split(dataset({"four": "abcd", "five": "abcde", "three": "xyz"}), ProtocolConfig())
    assert kept.user_ids == ["five"]
    assert sorted(kept.item_ids) == list("abcde")
    assert split(dataset({"three": "xyz"}), ProtocolConfig(min_interactions=3)).user_ids == ["three"]


def test_no_user_left_is_refused():
    with pytest.raises(RefusedError, match=r"no user of somewhere has the 5 interactions .* lower protocol.min_inter"):
        split(dataset({"u": "abcd", "v": "a"}), ProtocolConfig())


def test_items_are_numbered_in_catalogue_order():
    kept = split(dataset({"u": "ambza", "v": "bzaam"}), ProtocolConfig())
    assert kept.item_ids == ["z", "m", "b", "a"]
    assert kept.sequences[0, -5:].tolist() == [4, 2, 3, 1, 4]


def test_the_catalogue_is_what_was_interacted_with_or_all():
    log = {"u": "abcde", "left out": "xyz"}
    assert split(dataset(log), ProtocolConfig(catalogue="interacted")).item_ids == list("edcba")
    assert split(dataset(log), ProtocolConfig(catalogue="all")).item_ids == list(CATALOGUE)


def test_an_item_that_only_stood_before_the_cut_is_not_ranked():
    kept = split(dataset({"u": "aabcdefg"}), ProtocolConfig(max_history=4))
    assert letters(kept, kept.sequences[0]) == "abcdefg"
    assert "a" in kept.item_ids
    kept = split(dataset({"u": "xabcdefg"}), ProtocolConfig(max_history=4))
    assert "x" not in kept.item_ids


def test_popularity_is_the_share_of_training_interactions():
    kept = split(dataset({"u": "aabcd", "v": "abcee"}), ProtocolConfig(catalogue="all"))
    shares = dict(zip(["padding", *kept.item_ids], kept.popularity(), strict=True))
    assert {item: share for item, share in shares.items() if share} == pytest.approx(
        {"padding": 1, "a": 3 / 6, "b": 2 / 6, "c": 1 / 6}
    )
    assert np.isclose(sum(kept.popularity()[1:]), 1)
