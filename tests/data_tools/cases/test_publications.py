"""Data as it is published: `04-amazon-2014` to `07-amazon-2023`, `12-recbole`, `13-movielens`, `20-amazon-lists`."""

import pytest

from iisan_core.errors import RefusedError
from tests.data_tools.cases.conftest import history


@pytest.mark.parametrize("reviews", ["reviews.json", "reviews-dict.json"])
def test_amazon_2014(bring, reviews):
    dataset = bring("amazon-2014", "04-amazon-2014/meta.json", f"04-amazon-2014/{reviews}")
    assert dataset.items["title"].to_list() == [f"Thing number {n} isn't big" for n in range(1, 9)]
    assert dataset.items["image_url"].to_list() == [f"http://img.example/{n}.jpg" for n in range(1, 9)]
    assert (dataset.interactions.height, history(dataset)) == (30, list("234567"))


def test_amazon_2018_has_no_markup(bring):
    items = bring("amazon-2018", "06-amazon-2018/meta.json", "06-amazon-2018/reviews.json").items
    title, description, features, address = (
        dict(items.select("item_id", column).iter_rows())
        for column in ("title", "description", "features", "image_url")
    )
    assert title == {
        "1": None, "2": "Blue Cup", "3": None, "4": 'Mug "XL" 5\' tall', "5": "[Old Model] Lamp", "6": None, "7": None,
        "8": "List title",
    }  # fmt: skip
    assert description["2"] == "Nice & warm"
    assert features["4"] == '[Hot] item "quoted", with \\ and é 😀'
    assert (address["2"], address["4"]) == ("https://img.example/2.jpg", "https://img.example/4.jpg")


@pytest.mark.parametrize("reviews", ["reviews.jsonl", "reviews-sec.jsonl", "ratings.csv"])
def test_amazon_2023(bring, reviews):
    dataset = bring("amazon-2023", "07-amazon-2023/meta.jsonl", f"07-amazon-2023/{reviews}")
    address = dict(dataset.items.select("item_id", "image_url").iter_rows())
    assert address["4"] == "https://i.example/4l.jpg"
    assert address["1"] == "https://i.example/1ml.jpg"
    assert address["3"] == "https://i.example/3h.jpg"
    title = dict(dataset.items.select("item_id", "title").iter_rows())
    assert (title["5"], title["6"], title["7"]) == (None, "spaces zero width", "كتاب RTL")
    assert history(dataset) == list("234567")


@pytest.mark.parametrize(
    ("reviews", "says"),
    [
        ("reviews-mixed.jsonl", r"line 1 has .* in milliseconds .*, line 2 has 1600001060, in seconds"),
        ("reviews-noparent.jsonl", r"line 1: the parent_asin None is empty"),
    ],
)
def test_amazon_2023_that_cannot_be_read(bring, reviews, says):
    with pytest.raises(RefusedError, match=says):
        bring("amazon-2023", "07-amazon-2023/meta.jsonl", f"07-amazon-2023/{reviews}")


@pytest.mark.parametrize(
    ("kind", "meta", "reviews"),
    [
        ("amazon-2018", "meta18.json", "06-amazon-2018/reviews.json"),
        ("amazon-2023", "meta23.jsonl", "07-amazon-2023/reviews.jsonl"),
    ],
)
def test_lists_inside_of_json(bring, kind, meta, reviews):
    """Runs of blanks, a tab among them, become one space in any text."""
    items = bring(kind, f"20-amazon-lists/{meta}", reviews).items
    expected = {
        "1": "Two lines: second line. Second paragraph",
        "2": "Path C:\\tools or 3\\4 inch",
        "3": "tab here",
        "4": 'Fine "quoted" words',
        "5": "plain one plain two",
        "6": "cr lf",
        "7": "bell",
        "8": "x",
    }
    assert dict(items.select("item_id", "description").iter_rows()) == expected
    assert dict(items.select("item_id", "features").iter_rows()) == expected
    assert items["image_url"].null_count() == 0


@pytest.mark.parametrize("log", ["x.inter", "x-e.inter"])
def test_recbole(bring, log):
    dataset = bring("recbole", "12-recbole/x.item", f"12-recbole/{log}")
    assert dataset.items["title"].to_list() == [f"Thing number {n}" for n in range(1, 9)]
    assert dataset.items["class"].to_list() == ["A B"] * 8
    assert dataset.text_columns == ["title", "class"]
    assert history(dataset) == list("234567")
    assert dataset.interactions["timestamp"][0] == 1_600_001_000


@pytest.mark.parametrize(
    ("movies", "ratings", "title", "first"),
    [
        ("u.item", "u.data", "Thing number 4 (1995)", 1_600_001_000),
        ("movies.dat", "ratings.dat", "A::B weird (1999)", 1_600_001_000),
        ("movies-ok.dat", "ratings.dat", "A: B weird (1999)", 1_600_001_000),
        ("movies.csv", "ratings.csv", "Four", 1_600_001_000),
        ("movies.csv", "ratings-date.csv", "Four", 1_600_001_000_000),
    ],
)
def test_movielens(bring, movies, ratings, title, first):
    dataset = bring("movielens", f"13-movielens/{movies}", f"13-movielens/{ratings}")
    assert dict(dataset.items.select("item_id", "title").iter_rows())["4"] == title
    assert dataset.items.height == 8
    assert dataset.interactions["timestamp"][0] == first
    assert history(dataset, "1") == list("234567")
