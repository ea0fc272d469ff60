import polars as pl
import pytest

from data_tools.picture_names import name_pictures

PICTURES = dict.fromkeys(["a/1.jpg", "b/1.jpg", "b/2.jpg", "P3.png", "P4.png", "thumbs/P4.jpg"], b"")


@pytest.mark.parametrize(
    ("says", "found"),
    [
        ("a/1.jpg", "a/1.jpg"),
        ("https://x.example/2.jpg", "b/2.jpg"),
        ("1.jpg", "1.jpg"),
        ("9.jpg", "9.jpg"),
        (None, None),
    ],
)
def test_the_name_counts_and_then_its_last_part_where_it_names_one_picture(says, found):
    items = pl.DataFrame({"item_id": ["P"], "image": pl.Series([says], dtype=pl.String)})
    assert name_pictures(items, PICTURES)["image"].to_list() == [found]


def test_without_names_the_id_counts_where_it_names_one_picture():
    items = pl.DataFrame({"item_id": ["P3", "P4", "P5"]})
    assert name_pictures(items, PICTURES)["image"].to_list() == ["P3.png", None, None]
