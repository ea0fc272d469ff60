"""The split on logs small enough to read."""

from dataclasses import replace
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


def rows(kept, sequences):
    """Each row as letters, oldest first."""
    numbers, items = sequences.flat()
    return [letters(kept, items[numbers == row]) for row in range(len(sequences))]


def paper(**options):
    return ProtocolConfig(training="last", catalogue="interacted", masked="kept", **options)


def test_in_the_papers_form_the_last_thirteen_are_all_that_is_used():
    log = {"long": "abcdefghijklmno", "exact": "abcdefghijklm", "short": "abcdef"}
    kept = split(dataset(log), paper())
    assert kept.user_ids.to_list() == ["long", "exact", "short"]
    assert rows(kept, kept.log) == ["cdefghijklmno", "abcdefghijklm", "abcdef"]
    assert rows(kept, kept.train) == ["cdefghijklm", "abcdefghijk", "abcd"]
    assert (
        rows(kept, kept.seen("test")) == rows(kept, kept.history("test")) == ["cdefghijklmn", "abcdefghijkl", "abcde"]
    )


def test_every_interaction_before_the_targets_trains_and_the_whole_history_is_masked():
    log = {"long": "abcdefghijklmno", "short": "abcdef"}
    kept = split(dataset(log), ProtocolConfig())
    assert rows(kept, kept.train) == ["abcdefghijklm", "abcd"]
    assert rows(kept, kept.seen("valid")) == ["abcdefghijklm", "abcd"]
    assert rows(kept, kept.seen("test")) == ["abcdefghijklmn", "abcde"]
    assert (letters(kept, kept.targets("valid")), letters(kept, kept.targets("test"))) == ("ne", "of")


def test_training_and_masking_are_chosen_apart():
    log = {"long": "abcdefghijklmno", "short": "abcdef"}
    kept = split(dataset(log), ProtocolConfig(training="last"))
    assert rows(kept, kept.train) == ["cdefghijklm", "abcd"]
    assert rows(kept, kept.seen("test")) == ["abcdefghijklmn", "abcde"]
    kept = split(dataset(log), ProtocolConfig(masked="kept"))
    assert rows(kept, kept.train) == ["abcdefghijklm", "abcd"]
    assert rows(kept, kept.seen("test")) == ["cdefghijklmn", "abcde"]


def test_training_validation_and_test_parts():
    for protocol in (paper(max_history=4), ProtocolConfig(max_history=4)):
        kept = split(dataset({"u": "abcdef"}), protocol)
        assert rows(kept, kept.train) == ["abcd"]
        assert rows(kept, kept.history("valid")) == ["abcd"]
        assert letters(kept, kept.targets("valid")) == "e"
        assert rows(kept, kept.history("test")) == ["abcde"]
        assert letters(kept, kept.targets("test")) == "f"
        assert rows(kept, kept.relevant("test")) == ["f"]
        assert letters(kept, kept.history("test").newest(4)[0]) == "bcde"


def test_users_below_the_minimum_are_not_measured_and_train_unless_only_the_last_do():
    log = {"four": "abcd", "five": "abcde", "three": "xyz"}
    kept = split(dataset(log), paper())
    assert kept.user_ids.to_list() == ["five"]
    assert sorted(kept.item_ids) == list("abcde")
    kept = split(dataset(log), ProtocolConfig())
    assert kept.users("test").to_list() == kept.users("valid").to_list() == ["five"]
    assert rows(kept, kept.train) == ["abcd", "abc", "xyz"]
    assert kept.describe()["left_out"] == {"users with fewer than 5 interactions": 2}
    assert split(dataset({"three": "xyz"}), ProtocolConfig(min_interactions=3)).users("test").to_list() == ["three"]


def test_no_user_left_is_refused():
    with pytest.raises(
        RefusedError, match=r"no user of somewhere can be measured .*2 users with fewer than 5 .* lower"
    ):
        split(dataset({"u": "abcd", "v": "a"}), ProtocolConfig())


def test_items_are_numbered_in_catalogue_order():
    kept = split(dataset({"u": "ambza", "v": "bzaam"}), paper())
    assert kept.item_ids == ["z", "m", "b", "a"]
    assert kept.log.take(np.array([0])).newest(5).tolist() == [[4, 2, 3, 1, 4]]


def test_the_catalogue_is_all_or_what_the_log_in_use_holds():
    log = {"u": "abcde", "left out": "xyz"}
    assert split(dataset(log), ProtocolConfig()).item_ids == list(CATALOGUE)
    assert split(dataset(log), paper()).item_ids == list("edcba")
    assert split(dataset(log), ProtocolConfig(catalogue="interacted")).item_ids == list("zyxedcba")


def test_an_item_that_only_stood_before_the_kept_ones_is_not_ranked():
    kept = split(dataset({"u": "aabcdefg"}), paper(max_history=4))
    assert rows(kept, kept.log) == ["abcdefg"]
    assert "a" in kept.item_ids
    kept = split(dataset({"u": "xabcdefg"}), paper(max_history=4))
    assert "x" not in kept.item_ids
    kept = split(dataset({"u": "xabcdefg"}), ProtocolConfig(training="last", catalogue="interacted", max_history=4))
    assert "x" not in kept.item_ids, "and where the whole history is masked, there is nothing of it to mask"
    assert rows(kept, kept.history("test")) == ["·abcdef"]


def timed(log):
    """`log`: user → pairs of a letter and a time."""
    made = dataset({user: [item for item, _ in pairs] for user, pairs in log.items()})
    times = [time for pairs in log.values() for _, time in pairs]
    return replace(made, interactions=made.interactions.with_columns(timestamp=pl.Series(times)))


LATE = {
    "both": [("a", 10), ("b", 20), ("c", 80), ("d", 85), ("e", 90), ("f", 95)],
    "test only": [("a", 11), ("b", 12), ("c", 13), ("x", 91), ("y", 99)],
    "new": [("m", 92), ("n", 93), ("o", 94), ("p", 96), ("q", 97)],
    "idle": [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)],
}
CUTS = ("1970-01-01T00:01:20", "1970-01-01T00:01:30")


@pytest.mark.parametrize("cuts", [CUTS, (10 / 21, 12 / 21)])
def test_by_time_training_sees_nothing_from_the_first_cut_on(cuts):
    kept = split(timed(LATE), ProtocolConfig(split="time", valid_from=cuts[0], test_from=cuts[1]))
    assert rows(kept, kept.train) == ["ab", "abc", "", "abcde"]
    assert kept.users("valid").to_list() == ["both"]
    assert letters(kept, kept.targets("valid")) == "c"
    assert kept.users("test").to_list() == ["both", "test only"]
    assert rows(kept, kept.history("test")) == ["abcd", "abc"]
    assert letters(kept, kept.targets("test")) == "ex"
    assert rows(kept, kept.relevant("test")) == ["e", "x"]
    assert {why: n for why, n in kept.describe()["left_out"].items() if n} == {
        "users who have no history before the test": 1,
        "users who have nothing in the test": 1,
    }


def test_the_rest_is_all_that_is_held_out():
    kept = split(timed(LATE), ProtocolConfig(split="time", valid_from=CUTS[0], test_from=CUTS[1], target="rest"))
    assert rows(kept, kept.relevant("valid")) == ["cd"]
    assert rows(kept, kept.relevant("test")) == ["ef", "xy"]


def test_a_log_without_times_cannot_be_split_by_time():
    with pytest.raises(RefusedError, match=r"somewhere has no times, only an order .* protocol.split=leave-one-out"):
        split(dataset({"u": "abcdef"}), ProtocolConfig(split="time"))


def test_cuts_that_leave_nobody_are_refused_with_the_reasons():
    protocol = ProtocolConfig(split="time", valid_from="2000-01-01", test_from="2001-01-01")
    with pytest.raises(
        RefusedError, match=r"no user of somewhere can be measured in the valid .*4 users who have nothin"
    ):
        split(timed(LATE), protocol)


def labelled(labels):
    made = dataset({"u": "abcdef", "v": "ghijk"})
    return replace(made, interactions=made.interactions.with_columns(subset=pl.Series(labels)))


def test_as_given_a_users_training_items_come_first():
    labels = ["train", "test", "train", "train", "valid", "test", *["train"] * 4, "test"]
    kept = split(labelled(labels), ProtocolConfig(split="given", target="rest"))
    assert rows(kept, kept.train) == ["acd", "ghij"]
    assert (kept.users("valid").to_list(), letters(kept, kept.targets("valid"))) == (["u"], "e")
    assert rows(kept, kept.history("test")) == ["acde", "ghij"]
    assert rows(kept, kept.relevant("test")) == ["bf", "k"]


def test_as_given_needs_labels_that_it_knows():
    with pytest.raises(RefusedError, match=r"no column 'subset' with train, valid, test"):
        split(dataset({"u": "abcdef"}), ProtocolConfig(split="given"))
    with pytest.raises(RefusedError, match=r"says 'dev'; allowed are train, valid, test"):
        split(labelled(["train"] * 10 + ["dev"]), ProtocolConfig(split="given"))


def test_a_validation_sample_is_the_same_every_time_and_leaves_the_test_alone():
    kept = split(dataset({f"u{n}": "abcdef" for n in range(50)}), ProtocolConfig())
    few = kept.with_validation_sample(10)
    assert len(few.users("valid")) == 10
    assert few.users("valid").to_list() == kept.with_validation_sample(10).users("valid").to_list()
    assert len(few.users("test")) == 50
    assert kept.with_validation_sample(50) is kept


def test_popularity_is_the_share_of_training_interactions():
    kept = split(dataset({"u": "aabcd", "v": "abcee"}), ProtocolConfig())
    shares = dict(zip(["padding", *kept.item_ids], kept.popularity(), strict=True))
    assert {item: share for item, share in shares.items() if share} == pytest.approx(
        {"padding": 1, "a": 3 / 6, "b": 2 / 6, "c": 1 / 6}
    )
    assert np.isclose(sum(kept.popularity()[1:]), 1)
