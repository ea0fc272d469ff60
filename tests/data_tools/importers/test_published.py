import json

import pytest

from iisan_core.errors import RefusedError


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize(("lowest", "kept"), [(None, ["b", "c"]), (3, ["c"])])
def test_yelp(write, imported, lowest, kept):
    items = lines({"business_id": "b", "name": "Bar", "categories": "Pubs, Bars"}, {"business_id": "c", "name": "Café"})
    log = lines(
        {"user_id": "u", "business_id": "c", "stars": 5.0, "date": "2018-07-07 22:09:12"},
        {"user_id": "u", "business_id": "b", "stars": 1.0, "date": "2018-07-07 22:09:11"},
    )
    dataset = imported("yelp", write("business.json", items), write("review.json", log), min_rating=lowest)
    assert dataset.interactions["item_id"].to_list() == kept
    assert dataset.items.row(0, named=True)["categories"] == "Pubs, Bars"


def test_goodreads(write, imported):
    one = {"book_id": "1", "title": "One", "description": "d", "image_url": "https://x.example/1.jpg"}
    books = lines(one, {"book_id": "2"})
    log = lines(
        {"user_id": "u", "book_id": "2", "rating": 0, "date_added": "Sun Jul 30 07:44:10 -0700 2017"},
        {"user_id": "u", "book_id": "1", "rating": 0, "date_added": "Sun Jul 30 14:44:09 +0000 2017"},
    )
    dataset = imported("goodreads", write("books.json", books), write("interactions.json", log))
    assert dataset.interactions["item_id"].to_list() == ["1", "2"]
    assert dataset.items["image_url"].to_list() == ["https://x.example/1.jpg", None]


def test_h_and_m_finds_its_pictures_by_folder_and_number(write, imported, jpeg):
    articles = "article_id,prod_name,product_type_name,detail_desc\n"
    articles += "0108775015,Strap top,Vest top,Jersey top\n0108775044,Top,,\n"
    log = "t_dat,customer_id,article_id,price\n2018-09-21,u,0108775044,0.05\n2018-09-20,u,0108775015,0.05\n"
    pictures = write("images/010/0108775015.jpg", jpeg).parents[1]
    dataset = imported("h-and-m", write("articles.csv", articles), write("log.csv", log), images=pictures)
    assert dataset.interactions["item_id"].to_list() == ["0108775015", "0108775044"]
    assert dataset.items["image"].to_list() == ["images/0108775015.jpg", None]
    assert dataset.text_columns == ["title", "product_type_name", "detail_desc"]


def test_mmrec(write, imported):
    meta = 'itemID,title,description\n0,A,"x, y"\n1,B,\n'
    log = "userID\titemID\trating\ttimestamp\tx_label\n0\t1\t5.0\t1600000001\t0\n0\t0\t3.0\t1600000000\t0\n"
    dataset = imported("mmrec", write("meta.csv", meta), write("baby.inter", log))
    assert dataset.interactions["item_id"].to_list() == ["0", "1"]
    assert dataset.items["description"].to_list() == ["x, y", None]


NEWS = 'N1\tnews\tus\t"Quoted" title\tAbstract\thttps://x.example\t[]\t[]\n'
NEWS += "N2\tnews\tus\tTwo\t\t\t[]\t[]\nN3\tx\ty\tThree\t\t\t[]\t[]\n"


def test_mind(write, imported):
    behaviors = (
        "1\tU1\t11/15/2019 8:55:22 PM\tN1 N2\tN3-1 N2-0\n"
        "2\tU1\t11/15/2019 8:55:22 AM\tN1 N2\tN2-1 N3-0\n"
        "3\tU2\t11/14/2019 7:01:48 AM\t\tN1-0 N3-1\n"
        "4\tU3\t11/14/2019 7:01:48 AM\t\tN1-0\n"
    )
    dataset = imported("mind", write("news.tsv", NEWS), write("behaviors.tsv", behaviors))
    assert dataset.items["title"].to_list() == ['"Quoted" title', "Two", "Three"]
    log = dataset.interactions.sort("user_id", maintain_order=True)
    assert log.rows() == [("U1", "N1", 0), ("U1", "N2", 1), ("U1", "N2", 2), ("U1", "N3", 3), ("U2", "N3", 0)]
    assert dataset.card.dropped["users_without_interactions"] == 1


@pytest.mark.parametrize(
    ("behaviors", "match"),
    [
        ("1\tU1\tyesterday\tN1\tN2-1\n", "line 1: no user or no time such as"),
        ("1,U1,11/15/2019 8:55:22 PM,N1,N2-1\n", "line 1: 1 fields, MIND has 5"),
    ],
)
def test_other_behaviors_are_refused(write, imported, behaviors, match):
    with pytest.raises(RefusedError, match=match):
        imported("mind", write("news.tsv", NEWS), write("behaviors.tsv", behaviors))
