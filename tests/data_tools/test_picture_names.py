import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.picture_names import find_pictures, name_pictures

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


IDS = st.lists(st.integers(1, 10**4).map(str), min_size=1, max_size=6, unique=True)
LAYOUTS = {
    "by id": lambda item: [f"{item}.jpg"],
    "padded": lambda item: [f"{item.zfill(8)}.jpg"],
    "in a folder": lambda item: [f"{item[:1]}/{item}.PNG"],
    "one folder an item": lambda item: [f"all/{item}/main.jpg"],
    "numbered": lambda item: [f"{item}_0.jpg"],
    "beside thumbnails": lambda item: [f"full/{item}.jpg", f"thumb/{item}.jpg"],
    "two endings": lambda item: [f"{item}.jpg", f"{item}.png"],
    "two of each": lambda item: [f"{item}_0.jpg", f"{item}_1.jpg"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@given(ids=IDS, shadows=st.booleans())
def test_every_layout_is_found_or_named_as_ambiguous(layout, ids, shadows):
    of_items = {item: LAYOUTS[layout](item) for item in ids}
    pictures = [name for names in of_items.values() for name in names]
    beside = [f"__MACOSX/{name}" for name in pictures] if shadows else []
    found = find_pictures(((item, [item]) for item in ids), [*pictures, *beside])
    for item, name in zip(ids, found.names, strict=True):
        if len(of_items[item]) == 1:
            assert name == of_items[item][0]
        else:
            assert (name, found.ambiguous[item]) == (None, sorted(of_items[item]))


def test_a_folder_named_like_an_item_is_none_of_it_where_pictures_are_named_after_items():
    found = find_pictures([("1", ["1"]), ("100", ["100"])], ["1/100.jpg", "1_0.jpg"])
    assert found.names == [None, "1/100.jpg"]


def test_an_exact_name_belongs_to_nobody_else():
    found = find_pictures([("7", ["7"]), ("007", ["007"]), ("A", ["A"]), ("a", ["a"])], ["007.jpg", "a.jpg"])
    assert found.names == [None, "007.jpg", None, "a.jpg"]


@given(ids=IDS, data=st.data())
def test_no_item_gets_the_picture_of_another(ids, data):
    ways = {item: LAYOUTS[data.draw(st.sampled_from(sorted(LAYOUTS)))](item) for item in ids}
    found = find_pictures(((item, [item]) for item in ids), [name for names in ways.values() for name in names])
    assert all(name is None or name in ways[item] for item, name in zip(ids, found.names, strict=True))
