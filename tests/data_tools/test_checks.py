import io

import polars as pl
import pytest
from PIL import Image

from data_tools.checks import check, timestamps_are_positions
from data_tools.writing import write_dataset


def made(folder, *, log, titles=("A", "B", "C"), pictures=0):
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, format="PNG")
    ids = ["a", "b", "c"]
    images = {item_id: stream.getvalue() for item_id in ids[:pictures]}
    return write_dataset(
        folder,
        name="test",
        source="a test",
        items=pl.DataFrame(
            {"item_id": ids, "title": titles, "image": [i if i in images else None for i in ids]},
            schema_overrides={"image": pl.String, "title": pl.String},
        ),
        interactions=pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row"),
        images=images,
    )


def sequence(user, items, *, start=0, step=1):
    return [(user, item, start + step * n) for n, item in enumerate(items)]


def found(dataset):
    return {(finding.severity, finding.what.split(" (")[0], finding.count) for finding in check(dataset)}


def test_a_clean_dataset_has_no_finding(tmp_path):
    assert check(made(tmp_path / "d", log=sequence("u", "abcab"))) == []


def test_everything_worth_saying_is_said_errors_first(tmp_path):
    log = sequence("u", "aabab") + sequence("v", "ab") + [("w", "a", 0), ("w", "b", 0)]
    dataset = made(tmp_path / "d", log=log, titles=("A", "A", None), pictures=2)
    (dataset.folder / "images" / "a.png").unlink()
    (dataset.folder / "images" / "b.png").write_bytes(b"no picture")
    findings = check(dataset)
    assert [f.severity for f in findings] == ["error"] * 2 + ["warning"] * 2 + ["note"] * 3
    assert all(f.remedy for f in findings)
    assert found(dataset) == {
        ("error", "picture files that are not there", 1),
        ("error", "picture files that cannot be read", 1),
        ("warning", "items with neither text nor picture", 1),
        ("warning", "interactions at the same time as another of the same user", 2),
        ("note", "users with fewer than 5 interactions", 2),
        ("note", "items that nobody interacted with", 1),
        ("note", "items that share their title with another", 2),
    }


def test_users_all_too_short_are_an_error(tmp_path):
    dataset = made(tmp_path / "d", log=sequence("u", "abca"))
    assert ("error", "no user is long enough for the protocol", 1) in found(dataset)


@pytest.mark.parametrize(("start", "leaking"), [(100, 1), (1, 0)])
def test_test_targets_older_than_training_are_counted_where_time_is_real(tmp_path, start, leaking):
    # u's test target is at 5; v trains on start, start + 1 and start + 2.
    log = sequence("u", "abcab", start=1) + sequence("v", "abcab", start=start)
    dataset = made(tmp_path / "d", log=log)
    assert not timestamps_are_positions(dataset.interactions)
    counts = {f.count for f in check(dataset) if "future" in f.what}
    assert counts == ({leaking} if leaking else set())


def test_positions_are_not_taken_for_time(tmp_path):
    dataset = made(tmp_path / "d", log=sequence("u", "abcab") + sequence("v", "abc" * 20))
    assert timestamps_are_positions(dataset.interactions)
    assert not any("future" in f.what for f in check(dataset))
