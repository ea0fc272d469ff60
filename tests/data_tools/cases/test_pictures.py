"""Pictures and where they lie: `18-images`, `19-layouts`, what import says of `24-strip`."""

import polars as pl
import pytest

from data_tools.images import EXTENSIONS
from iisan_core.errors import RefusedError


@pytest.mark.parametrize(
    ("images", "items"),
    [
        ("mac", "11-csv/items.csv"),
        ("nested.zip", "11-csv/items.csv"),
        ("padded", "11-csv/items.csv"),
        ("perfolder", "11-csv/items.csv"),
        ("mac", "19-layouts/items-imgcol.csv"),
        ("mac", "19-layouts/items-imgurl.csv"),
        ("mac", "19-layouts/items-noextcol.csv"),
        ("padded", "19-layouts/items-list.csv"),
        ("thumbs/full", "11-csv/items.csv"),
    ],
)
def test_every_item_finds_its_picture(bring, images, items):
    column = {"image": "image"} if "19" in items else {}
    dataset = bring("table", items, "11-csv/log.csv", images=f"19-layouts/{images}", **column)
    assert dataset.items["image"].to_list() == [f"images/{number}.jpg" for number in range(1, 9)]


@pytest.mark.skipif("AVIF" not in EXTENSIONS, reason="this Pillow reads no AVIF")
def test_pictures_that_are_all_avif(bring):
    dataset = bring("table", "11-csv/items.csv", "11-csv/log.csv", images="19-layouts/avifonly")
    assert dataset.items["image"].to_list() == [f"images/{number}.avif" for number in range(1, 9)]


def test_capitals_do_not_matter(bring, tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\nu,sku-a,1\nu,sku-b,2\n")
    dataset = bring("table", "19-layouts/items-casecol.csv", "log.csv", images="19-layouts/case", image="image")
    assert dataset.card.counts["images"] == 8


def test_ids_that_lost_their_zeros_find_their_pictures(bring, tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"1087750{n},T\n" for n in range(1, 9)))
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\nu,10877501,1\n")
    assert bring("table", "items.csv", "log.csv", images="19-layouts/hm").card.counts["images"] == 8


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ("both", r"8 of 8 items have several pictures, such as item '1': 1.jpg and 1.png"),
        ("thumbs", r"such as item '1': full/1.jpg and thumb/1.jpg; name the folder"),
        ("suffix", r"such as item '1': 1_0.jpg and 1_1.jpg"),
        ("case", r"none of its 8 pictures fits an item; .*such as '1.jpg'.*, not 'SKU-A.JPG'"),
        ("hm", r"none of its 8 pictures fits an item"),
    ],
)
def test_several_pictures_or_none_are_refused(bring, images, says, tmp_path):
    with pytest.raises(RefusedError, match=says):
        bring("table", "11-csv/items.csv", "11-csv/log.csv", images=f"19-layouts/{images}")
    assert not (tmp_path / "out").exists()


def test_what_holds_no_pictures_is_refused(bring, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RefusedError, match=r"empty: it holds no pictures; pictures are named after items"):
        bring("table", "11-csv/items.csv", "11-csv/log.csv", images="empty")
    (tmp_path / "empty" / "data.mdb").write_bytes(b"x")
    with pytest.raises(RefusedError, match=r"it is an LMDB"):
        bring("table", "11-csv/items.csv", "11-csv/log.csv", images="empty")


def test_few_pictures_are_warned_of(bring, tmp_path, cases, caplog):
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "1.jpg").write_bytes((cases / "19-layouts/mac/1.jpg").read_bytes())
    bring("table", "11-csv/items.csv", "11-csv/log.csv", images="few")
    assert "only 1 of 8 items have a picture there" in caplog.text


READABLE = (
    "upperjpg", "jpeg", "webp", "bmp", "gif", "cmyk", "gray16", "gray8", "exif6", "upright", "mpo", "rgba", "palt",
    "la", "anim", "animwebp", "jpgaspng", "onepx", "bilevel", "trail", "noext",
)  # fmt: skip
UNREADABLE = ("cut", "zero", "html", "huge", "svg")


def test_pictures_of_every_format(bring):
    dataset = bring("table", "18-images/items.csv", "18-images/log.csv", images="18-images/pics", image="image")
    stored = dict(dataset.items.select("item_id", "image").iter_rows())
    assert [item for item in READABLE if stored[item] is None] == []
    assert [item for item in UNREADABLE if stored[item] is not None] == []
    listed = pl.read_parquet(dataset.folder / "import-report.parquet")
    assert listed.height == sum(path is None for item, path in stored.items() if item != "nopic")
    assert {row["id"] for row in listed.to_dicts()} >= set(UNREADABLE)
    assert all(row["reason"] for row in listed.to_dicts())


def test_a_strip_is_counted_as_unreadable(bring):
    """With its size; to a processor that keeps the ratio it would be gigabytes."""
    dataset = bring("table", "11-csv/items.csv", "11-csv/log.csv", images="24-strip/pics")
    assert dataset.card.counts["images"] == 7
    assert dataset.card.reported["unreadable_images"] == 1
    report = pl.read_parquet(dataset.folder / "import-report.parquet")
    assert any("12000×1 pixels" in str(row) for row in report.rows())
