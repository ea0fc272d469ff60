import io

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_tools.captions.caption import Journal
from data_tools.filtering import filter_dataset, k_core
from data_tools.writing import write_dataset
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError

SCHEMA = ["user_id", "item_id", "timestamp"]


def frame(pairs):
    rows = [(f"u{u}", f"i{i}", n) for n, (u, i) in enumerate(pairs)]
    return pl.DataFrame(rows, schema={"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}, orient="row")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=60), st.integers(1, 4))
def test_the_core_is_what_is_left_when_nothing_more_can_go(pairs, k):
    left = list(pairs)
    while True:
        users, items = [u for u, _ in left], [i for _, i in left]
        smaller = [(u, i) for u, i in left if users.count(u) >= k and items.count(i) >= k]
        if len(smaller) == len(left):
            break
        left = smaller
    core = k_core(frame(pairs), k)
    assert list(zip(core["user_id"], core["item_id"], strict=True)) == [(f"u{u}", f"i{i}") for u, i in left]


@pytest.fixture
def dataset(tmp_path):
    """u and v share a, b, c; u repeats a, once at the same time; w has one rare item; nobody wants e."""
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, format="PNG")
    log = [("u", "a", 1), ("u", "a", 1), ("u", "b", 2), ("u", "c", 3), ("u", "a", 4)]
    log += [("v", "a", 1), ("v", "b", 2), ("v", "c", 3), ("w", "d", 1)]
    return write_dataset(
        tmp_path / "whole",
        name="whole",
        source="a test",
        items=pl.DataFrame(
            {"item_id": list("abcde"), "title": list("ABCDE"), "image": ["a.png", None, None, "d.png", None]}
        ),
        interactions=pl.DataFrame(log, schema=SCHEMA, orient="row"),
        images={"a.png": stream.getvalue(), "d.png": stream.getvalue()},
    )


def test_the_core_with_its_pictures_and_reasons(dataset, tmp_path):
    core = filter_dataset(dataset, tmp_path / "core", core=2)
    assert core.items["item_id"].to_list() == ["a", "b", "c"]
    assert core.interactions.rows() == dataset.interactions.rows()[:-1]
    assert [path is not None and path.is_file() for path in core.image_paths()] == [True, False, False]
    assert core.card.dropped["interactions_outside_the_2_core"] == 1
    assert core.card.dropped["items"] == 2
    assert (core.name, core.card.source) == ("core", "a test; filtered from whole")


def test_each_filter_counts_what_it_drops(dataset, tmp_path):
    small = filter_dataset(dataset, tmp_path / "small", min_length=3, no_duplicates=True, no_repeats=True, name="x")
    assert small.interactions.rows() == [(u, i, n) for u in "uv" for n, i in enumerate("abc", start=1)]
    assert small.items["item_id"].to_list() == ["a", "b", "c", "e"], "nobody wanted e before, either"
    counts = {reason: n for reason, n in small.card.dropped.items() if n}
    assert counts == {
        "duplicate_interactions": 1, "repeated_interactions": 1, "interactions_of_users_below_3": 1, "items": 1,
    }  # fmt: skip


def test_what_makes_no_sense_is_refused(dataset, tmp_path):
    with pytest.raises(RefusedError, match="nothing to filter: give --core"):
        filter_dataset(dataset, tmp_path / "out")
    with pytest.raises(RefusedError, match=r"remains with core 9 .* it has 9 interactions; ask for less"):
        filter_dataset(dataset, tmp_path / "out", core=9)
    with pytest.raises(RefusedError, match="exists already"):
        filter_dataset(dataset, dataset.folder, core=2)


def test_a_captioning_can_go_on_in_what_was_filtered(dataset, tmp_path):
    journal = Journal(dataset.folder / "captions" / "caption.jsonl")
    with journal.only_one():
        journal.begin({"model": "m"})
        journal.add({"a": "a mug"})
    filtered = filter_dataset(dataset, tmp_path / "out", core=2)
    assert Journal(filtered.folder / "captions" / "caption.jsonl").begin({"model": "m"}) == {"a": "a mug"}
    assert [path.name for path in (filtered.folder / "captions").iterdir()] == ["caption.jsonl"]


@pytest.mark.usefixtures("by_hand")
def test_videos_and_sounds_go_along(dataset, tmp_path):
    files = {"videos/a/0.png": b"frame", "videos/d.mp4": b"film", "sounds/a.wav": b"sound"}
    for name, content in files.items():
        (dataset.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (dataset.folder / name).write_bytes(content)
    items = dataset.items.with_columns(
        video=pl.Series(["videos/a", None, "videos/gone", "videos/d.mp4", None]),
        audio=pl.Series(["sounds/a.wav", *[None] * 4], dtype=pl.String),
    )
    items.write_parquet(dataset.folder / "items.parquet")
    core = filter_dataset(Dataset.load(dataset.folder), tmp_path / "core", core=2)
    found = {str(p.relative_to(core.folder)): p.read_bytes() for p in core.folder.glob("[vs]*/**/*") if p.is_file()}
    assert found == {"videos/a/0.png": b"frame", "sounds/a.wav": b"sound"}
    assert core.items["video"].to_list() == ["videos/a", None, "videos/gone"]
