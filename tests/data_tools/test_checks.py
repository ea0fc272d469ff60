import io

import polars as pl
import pytest
from PIL import Image

from data_tools.checks import check, check_files
from data_tools.writing import write_dataset
from iisan_core.cache.digests import DIGESTS
from iisan_core.cache.inputs import inputs_of
from iisan_core.data.dataset import Dataset
from iisan_core.data.held_out import timestamps_are_positions


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


def what(dataset):
    return {finding.what.split(" (")[0] for finding in check(dataset)}


DAY = 86_400
JANUARY = 1_704_067_200
"""2024-01-01 in seconds since 1970."""


def shop(*, rows=()):
    """Five users who buy the same five items, one user after the other, each beginning elsewhere; and further rows."""
    log = [
        row
        for n in range(5)
        for row in sequence(f"u{n}", ("abcde" * 2)[n : n + 5], start=JANUARY + n * 10 * DAY, step=DAY)
    ]
    return [*log, *rows]


def made_shop(folder, log, **columns):
    items = {"item_id": list("abcde"), "title": [f"a useful thing of kind {n}" for n in range(5)], **columns}
    table = pl.DataFrame(items, schema_overrides={"title": pl.String})
    interactions = pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row")
    return write_dataset(folder, name="shop", source="a test", items=table, interactions=interactions)


def test_a_clean_dataset_says_only_that_leave_one_out_looks_ahead(tmp_path):
    (finding,) = check(made_shop(tmp_path / "d", shop()))
    assert (finding.severity, finding.count) == ("warning", 4)
    assert finding.what.startswith("test targets, 80 % of all, older than the newest training interaction")


def newest_first(log):
    return [(user, item, time) for user, item, time in reversed(log)]


@pytest.mark.usefixtures("by_hand")
def test_a_dataset_that_is_stored_newest_first_is_said_so(tmp_path):
    dataset = made_shop(tmp_path / "d", shop())
    turned = dataset.interactions.reverse()
    turned.write_parquet(dataset.folder / "interactions.parquet")
    findings = check(Dataset.load(dataset.folder))
    assert next((f.severity, f.what, f.count) for f in findings) == (
        "error", "interactions older than the one before them (the log is stored newest first)", 5 * 4
    )  # fmt: skip
    turned[[0, 2, 1, *range(3, 25)]].write_parquet(dataset.folder / "interactions.parquet")
    assert "stored newest first" in check(Dataset.load(dataset.folder))[0].what, "a row astray changes nothing"


def test_ties_of_a_source_that_ran_newest_first_are_named(tmp_path):
    days = [(user, item, time - time % (2 * DAY)) for user, item, time in shop()]
    tied = "interactions at the same time as another of the same user, from a file that ran newest first"
    turned = made_shop(tmp_path / "turned", newest_first(days))
    (finding,) = [finding for finding in check(turned) if finding.what == tied]
    assert (finding.severity, finding.count) == ("warning", turned.card.reported["ties_in_a_log_that_ran_newest_first"])
    assert finding.count > 0
    assert tied not in what(made_shop(tmp_path / "right", days))
    assert tied not in what(made_shop(tmp_path / "fine", newest_first(shop()))), "distinct times are sorted by"


def test_users_of_one_time_are_named(tmp_path):
    one = "users all of whose interactions have one time"
    same = [("v", item, JANUARY) for item in "abcde"]
    assert ("warning", one, 1) in found(made_shop(tmp_path / "d", shop(rows=same)))
    assert one not in what(made_shop(tmp_path / "other", shop(rows=same[:4])))


def test_everything_worth_saying_is_said_errors_first(tmp_path):
    log = sequence("u", "aabab") + sequence("v", "ab") + [("w", "a", 0), ("w", "b", 0)]
    dataset = made(tmp_path / "d", log=log, titles=("A", "A", None), pictures=2)
    (dataset.folder / "images" / "a.png").unlink()
    (dataset.folder / "images" / "b.png").write_bytes(b"no picture")
    findings = check(dataset)
    assert [f.severity for f in findings] == ["error"] * 2 + ["warning"] * 2 + ["note"] * 5
    assert all(f.remedy for f in findings)
    assert found(dataset) == {
        ("error", "picture files that are not there", 1),
        ("error", "picture files that cannot be read", 1),
        ("warning", "items with neither text nor picture", 1),
        ("warning", "interactions at the same time as another of the same user", 2),
        ("note", "users with fewer than 5 interactions", 2),
        ("note", "interactions outside the 5-core", 9),
        ("note", "test targets in the user's own history", 1),
        ("note", "items that nobody interacted with", 1),
        ("note", "items that share their title with another", 2),
    }


def test_users_all_too_short_are_an_error(tmp_path):
    dataset = made(tmp_path / "d", log=sequence("u", "abca"))
    assert ("error", "no user is long enough for the protocol", 1) in found(dataset)


def test_duplicates_and_repeats_are_told_apart(tmp_path):
    rows = [("u0", "a", JANUARY), ("u1", "a", JANUARY + 90 * DAY)]
    counts = {f.what: f.count for f in check(made_shop(tmp_path / "d", shop(rows=rows)))}
    assert counts["duplicate interactions"] == 1
    assert counts["test targets in the user's own history"] == 1


@pytest.mark.usefixtures("by_hand")
def test_a_log_out_of_order_is_an_error(tmp_path):
    dataset = made_shop(tmp_path / "d", shop())
    dataset.interactions.reverse().write_parquet(dataset.folder / "interactions.parquet")
    assert ("error", "interactions older than the one before them", 5 * 4) in found(Dataset.load(dataset.folder))


def test_cold_targets_are_counted(tmp_path):
    log = [row for n in range(5) for row in sequence(f"u{n}", "abcad" if n else "abcae", step=DAY)]
    assert ("note", "test targets that never occur in training", 5) in found(made_shop(tmp_path / "d", log))


@pytest.mark.usefixtures("by_hand")
def test_entities_left_by_other_programs_are_found(tmp_path):
    dataset = made_shop(tmp_path / "d", shop())
    titles = pl.Series("title", ["salt &amp; pepper", "AT&T phone", "50 &#37; wool", "mug", None], dtype=pl.String)
    dataset.items.with_columns(titles).write_parquet(dataset.folder / "items.parquet")
    assert ("warning", "items with HTML entities in their text", 2) in found(Dataset.load(dataset.folder))


def test_further_languages_are_named(tmp_path):
    german = "Warme Wolljacke mit Kapuze für den Winter, dunkelblau, nicht waschen"
    english = ["A warm woollen jacket with a hood for the winter", "Stainless steel mug for coffee and for tea"]
    columns = {"description": [english[0], english[1], english[0], german, german]}
    (finding,) = [f for f in check(made_shop(tmp_path / "d", shop(), **columns)) if "texts in" in f.what]
    assert (finding.what, finding.count) == ("texts in 'de' among 5 sampled texts", 2)
    assert "most are in 'en'" in finding.remedy


@pytest.mark.parametrize(("titles", "pictures", "expected"), [
    (("A", None, "C"), 3, {"items without text"}),
    (("A", "B", "C"), 2, {"items without picture"}),
    (("A", "B", "C"), 0, set()),
])  # fmt: skip
def test_gaps_are_named_where_others_have_none(tmp_path, titles, pictures, expected):
    dataset = made(tmp_path / "d", log=sequence("u", "abcab"), titles=titles, pictures=pictures)
    assert {w for w in what(dataset) if w.startswith("items with")} == expected


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


def test_videos_and_sounds_that_are_not_there_are_counted(tmp_path):
    dataset = made_shop(tmp_path / "d", shop(), video=["v/a", "v/b.mp4", None, "v/gone.mp4", None], audio=["s.wav"] * 5)
    (dataset.folder / "v" / "a").mkdir(parents=True)
    (dataset.folder / "v" / "b.mp4").write_bytes(b"film")
    found_there = {finding for finding in found(dataset) if "files that are not there" in finding[1]}
    assert found_there == {
        ("error", "video files that are not there", 1),
        ("error", "audio files that are not there", 5),
    }


def test_a_deep_check_names_files_whose_bytes_changed_unseen(tmp_path, monkeypatch):
    monkeypatch.setattr("iisan_core.cache.digests.SETTLED_NS", -(10**12))
    dataset = made(tmp_path / "d", log=sequence("u", "abcab"), pictures=3)
    names = sorted(dataset.items["image"])
    assert [(f.severity, f.count) for f in check_files(dataset)] == [("note", 3)], "nothing is recorded on import"
    inputs_of(dataset, "image", text_fields=None)
    assert check_files(dataset) == []
    record = pl.read_parquet(dataset.folder / DIGESTS)
    record.with_columns(sha256=pl.lit("0" * 64)).write_parquet(dataset.folder / DIGESTS)
    [damaged] = check_files(dataset)
    assert (damaged.severity, damaged.count) == ("error", 3)
    assert damaged.what.endswith(f"{DIGESTS} says: {', '.join(names)}")
    assert pl.read_parquet(dataset.folder / DIGESTS)["sha256"].unique().to_list() == ["0" * 64], "it stays as it is"
