import gzip
import json

import pytest

from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportRequest
from iisan_core.errors import RefusedError

REVIEWS = {
    "amazon-2018": [
        {"reviewerID": "U", "asin": "B", "overall": 5.0, "unixReviewTime": 1441324800, "style": {"Size:": " M"}},
        {"reviewerID": "U", "asin": "B", "overall": 5.0, "unixReviewTime": 1441324800, "style": {"Size:": " L"}},
        {"reviewerID": "U", "asin": "A", "overall": 2.0, "unixReviewTime": 1400000000, "reviewText": "bad\tthing"},
        {"reviewerID": "V", "asin": "C", "overall": 4.0, "unixReviewTime": 1400000000},
    ],
    "amazon-2023": [
        {"user_id": "U", "asin": "B1", "parent_asin": "B", "rating": 5.0, "timestamp": 1441324800123},
        {"user_id": "U", "asin": "B2", "parent_asin": "B", "rating": 5.0, "timestamp": 1441324800123},
        {"user_id": "U", "asin": "A", "parent_asin": "A", "rating": 2.0, "timestamp": 1400000000000, "images": []},
        {"user_id": "V", "asin": "C", "parent_asin": "C", "rating": 4.0, "timestamp": 1400000000000},
    ],
}
URL = "https://pictures.example/{}.jpg".format


def picture(name, variant):
    return {size: URL(f"{name}-{size}") for size in ("thumb", "large", "hi_res")} | {"variant": variant}


METADATA = {
    "amazon-2018": [
        {"asin": "A", "title": "Tea &amp; cup", "feature": ["light", "blue"], "imageURLHighRes": [URL("a&copy=1")]},
        {"asin": "B", "title": "var x = getTime();", "description": "[plain", "imageURL": [URL("b")], "price": "$3"},
        {"asin": "B", "title": "once more", "description": ["p", "q"], "imageURL": []},
        {"asin": "C", "imageURLHighRes": [], "description": []},
        {"asin": "unreviewed", "title": "never sold"},
    ],
    "amazon-2023": [
        {
            "parent_asin": "A",
            "title": "Tea &amp; cup",
            "features": ["light", "blue"],
            "images": [picture("x", "PT01"), picture("a", "MAIN")],
        },
        {
            "parent_asin": "B",
            "title": None,
            "description": ["[plain"],
            "images": [{"thumb": URL("b"), "large": None, "variant": "MAIN"}],
            "details": {"x": 1},
        },
        {"parent_asin": "B", "title": "once more", "images": []},
        {"parent_asin": "C", "images": [], "details": "text"},
        {"parent_asin": "unreviewed", "title": "never sold"},
    ],
}
KINDS = sorted(REVIEWS)
pytestmark = pytest.mark.parametrize("kind", KINDS)


def lines(records, *, end="\n"):
    return "".join(json.dumps(record) + end for record in records)


@pytest.mark.parametrize("packed", [False, True])
def test_reviews_and_metadata(write, imported, kind, packed):
    pack = gzip.compress if packed else bytes
    ending = ".jsonl.gz" if packed else ".jsonl"
    metadata = write("meta" + ending, pack(lines(METADATA[kind]).encode()))
    dataset = imported(kind, metadata, write("reviews" + ending, pack(lines(REVIEWS[kind], end="\n\n").encode())))
    address = URL("a&copy=1") if kind == "amazon-2018" else URL("a-large")
    assert dataset.items.select("item_id", "title", "description", "features", "image_url").rows() == [
        ("A", "Tea & cup", None, "light blue", address),
        ("B", None, "[plain", None, URL("b")),
        ("C", None, None, None, None),
    ]
    assert dataset.text_columns == ["title", "description", "features"]
    time = REVIEWS[kind][0].get("unixReviewTime", REVIEWS[kind][0].get("timestamp"))
    assert dataset.interactions["item_id"].to_list() == ["A", "B", "C"]
    assert dataset.interactions["timestamp"][1] == time
    assert dataset.card.dropped["repeated_reviews"] == 1
    assert dataset.card.dropped["repeated_metadata"] == 1


def test_low_ratings_are_dropped_with_their_items(write, imported, kind):
    files = write("meta.jsonl", lines(METADATA[kind])), write("reviews.jsonl", lines(REVIEWS[kind]))
    dataset = imported(kind, *files, min_rating=3)
    assert dataset.items["item_id"].to_list() == ["B", "C"]
    assert dataset.card.dropped["interactions_below_min_rating"] == 1


def changed(kind, **fields):
    """One more review, with other values for user, item or time; None removes the field."""
    names = {"amazon-2018": ("reviewerID", "asin", "unixReviewTime"), "amazon-2023": ("user_id", "parent_asin")}[kind]
    names = dict(zip(("user", "item", "time"), (*names, "timestamp"), strict=False))
    record = {**REVIEWS[kind][0], **{names[key]: value for key, value in fields.items()}}
    return lines([{key: value for key, value in record.items() if value is not None}]).encode()


BROKEN = {
    "comma-separated": (lambda kind: b"U,B,5.0,1441324800\n", r"line 6: no JSON object but 'U,B,5.0,1441324800'"),
    "cut line": (lambda kind: changed(kind)[:30] + b"\n", r"line 6: no JSON object but .*one object a line"),
    "not UTF-8": (lambda kind: b'{"reviewText": "caf\xe9"}\n', r"line 6: byte 0xe9 is not UTF-8; save"),
    "no item": (lambda kind: changed(kind, item=None), r"line 6: the (parent_)?asin None is empty"),
    "empty user": (lambda kind: changed(kind, user=""), r"line 6: the (reviewerID|user_id) '' is empty"),
    "id with tab": (lambda kind: changed(kind, item="B\t1"), r"line 6: the (parent_)?asin 'B\\t1' holds a tab"),
    "too late": (lambda kind: changed(kind, time=10**15), r"line 6: the \w+ '10+' is no time between 1990 and 2100"),
    "too early": (lambda kind: changed(kind, time=86_400), r"line 6: the \w+ '86400' is no time between 1990"),
    "no time": (lambda kind: changed(kind, time="09 4, 2015"), r"line 6: the \w+ '09 4, 2015' is no time"),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("packed", [False, True])
def test_broken_reviews_are_refused(write, imported, tmp_path, kind, fault, packed):
    further, match = BROKEN[fault]
    content = b"\n" + lines(REVIEWS[kind]).encode() + further(kind)
    reviews = write("reviews.json", gzip.compress(content) if packed else content)
    with pytest.raises(RefusedError, match=r"reviews.json, " + match):
        imported(kind, write("meta.json", lines(METADATA[kind])), reviews)
    assert not (tmp_path / "out").exists()


def test_a_file_that_breaks_off_is_refused(write, imported, kind):
    whole = gzip.compress(lines(REVIEWS[kind] * 1000).encode())
    files = write("meta.json", lines(METADATA[kind])), write("reviews.json.gz", whole[:-50])
    with pytest.raises(RefusedError, match=r"reviews.json.gz, after line \d+: the compressed data breaks off .*again"):
        imported(kind, *files)


def test_metadata_without_an_id_or_of_another_kind_are_refused(write, imported, kind):
    reviews = write("reviews.json", lines(REVIEWS[kind]))
    with pytest.raises(RefusedError, match=r"meta.json, line 6: the (parent_)?asin None is empty"):
        imported(kind, write("meta.json", lines([*METADATA[kind], {"title": "x"}])), reviews)
    other = next(other for other in KINDS if other != kind)
    with pytest.raises(RefusedError, match=r"meta.json, line 1: the (parent_)?asin None is empty"):
        imported(kind, write("meta.json", lines(METADATA[other])), reviews)


def test_absent_files_are_refused(write, imported, kind, tmp_path):
    reviews = write("reviews.json", lines(REVIEWS[kind]))
    with pytest.raises(RefusedError, match=r"cannot read the metadata file .*none.json .*check the path"):
        imported(kind, tmp_path / "none.json", reviews)


def test_real_reviews(data_folder, write, tmp_path, kind):
    if kind == "amazon-2023":
        pytest.skip("no verbatim sample of 2023 is at hand")
    sample = data_folder / "samples" / "amazon-2018-reviews.jsonl"
    records = [json.loads(line) for line in sample.read_text(encoding="utf-8").splitlines()]
    items = sorted({record["asin"] for record in records})
    metadata = write("meta.json", lines({"asin": item, "title": f"item {item}"} for item in items))
    dataset = IMPORTERS[kind](ImportRequest(items=metadata, interactions=sample, out=tmp_path / "out"))
    distinct = {(r["reviewerID"], r["asin"], r["unixReviewTime"]) for r in records}
    assert set(dataset.interactions.rows()) == distinct
    assert dataset.interactions.height == len(distinct)
    assert dataset.card.dropped["repeated_reviews"] == len(records) - len(distinct) > 0
    assert dataset.items.height == len(items)
