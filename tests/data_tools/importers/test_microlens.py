import csv

import pytest

from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportRequest
from data_tools.text import clean_text
from iisan_core.errors import RefusedError

TITLES = 'item,title\n1,"one, two # comic"\n2,"he said ""no"""\n3,three\n'
PAIRS_TSV = "10\t3 1 2\n11\t2\n"
PAIRS_CSV = "user,item,timestamp\n10,3,1583378629552\n10,1,1583378629000\n11,2,1583378700000\n"


@pytest.mark.parametrize("header", [True, False])
def test_pairs_of_50k_in_order(write, imported, header):
    titles = TITLES if header else TITLES.partition("\n")[2]
    dataset = imported("microlens", write("titles.csv", titles), write("pairs.tsv", PAIRS_TSV))
    assert dataset.items.rows() == [("1", "one, two # comic", None), ("2", 'he said "no"', None), ("3", "three", None)]
    assert dataset.interactions.rows() == [("10", "3", 0), ("10", "1", 1), ("10", "2", 2), ("11", "2", 0)]


@pytest.mark.parametrize("header", ["user,item,timestamp", "userID,videoID,timestamp"])
def test_pairs_of_100k_by_time(write, imported, header):
    pairs = PAIRS_CSV.replace("user,item,timestamp", header)
    dataset = imported("microlens", write("titles.csv", TITLES), write("pairs.csv", pairs))
    assert dataset.interactions.rows() == [
        ("10", "1", 1583378629000),
        ("10", "3", 1583378629552),
        ("11", "2", 1583378700000),
    ]


def test_covers_by_video_id(write, imported, jpeg):
    covers = write("covers/3.jpg", jpeg).parent
    dataset = imported("microlens", write("titles.csv", TITLES), write("pairs.tsv", PAIRS_TSV), images=covers)
    assert dataset.items["image"].to_list() == [None, None, "images/3.jpg"]


@pytest.mark.parametrize(
    ("titles", "pairs", "match"),
    [
        (TITLES, {"pairs.tsv": "10,3\n"}, r"pairs.tsv, line 1: 1 tab-separated field, expected 2"),
        (TITLES, {"pairs.tsv": PAIRS_TSV + "12\t1\t2\n"}, r"pairs.tsv, line 3: 3 tab-separated .*no id may hold a tab"),
        (TITLES, {"pairs.csv": PAIRS_CSV.replace(",", "\t")}, r"pairs.csv, line 1: the columns are .*separator"),
        (TITLES, {"pairs.csv": PAIRS_CSV.replace("item,", "video,")}, r"line 1: .*\['item'\] not among them"),
        (
            TITLES,
            {"pairs.csv": PAIRS_CSV + "11,1,17\n"},
            r"line 5: the timestamp '17' is no time .*seconds .* or in mill",
        ),
        (TITLES, {"pairs.csv": PAIRS_CSV + '"11\t",1,1583378700000\n'}, r"line 5: the user '11\\t' holds a tab"),
        (TITLES.replace(",", "\t"), {"pairs.tsv": PAIRS_TSV}, r"titles.csv, line 1: the columns are .*separator"),
        (TITLES + "4,\udcff\n", {"pairs.tsv": PAIRS_TSV}, r"titles.csv, line 5: byte 0xff is not UTF-8"),
    ],
)
def test_broken_files_are_refused(write, imported, titles, pairs, match):
    ((name, content),) = pairs.items()
    with pytest.raises(RefusedError, match=match):
        imported("microlens", write("titles.csv", titles.encode(errors="surrogateescape")), write(name, content))


def test_real_titles(data_folder, write, tmp_path):
    titles = data_folder / "samples" / "microlens-titles.csv"
    with titles.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    pairs = write("pairs.tsv", "1\t" + " ".join(row["item"] for row in rows) + "\n")
    dataset = IMPORTERS["microlens"](ImportRequest(items=titles, interactions=pairs, out=tmp_path / "out"))
    assert dataset.items["item_id"].to_list() == [row["item"] for row in rows]
    assert dataset.items["title"].to_list() == [clean_text(row["title"]) for row in rows]
    assert dataset.interactions.height == len(rows) > 390
