"""Every kind of file times every fault: refused with the file, the line, and what to do about it."""

import gzip
import re

import pytest

from iisan_core.errors import RefusedError

ITEMS = "item_id\ttitle\na\tA\nb\tB\n"
CSV = "item_id,title\na,A\nb,B\n"
MICROLENS = "item,title\na,A\nb,B\n"
MOVIES = "movieId,title,genres\na,A,Drama\nb,B,Drama\n"
MOVIES_DAT = "a::A::Drama\nb::B::Drama\n"
AMAZON = '{{"{id}": "a", "title": "A"}}\n{{"{id}": "b", "title": "B"}}\n'
REVIEW = {
    "amazon-2018": '{"reviewerID": "u", "asin": "a", "overall": 5.0, "unixReviewTime": 1441324800}\n',
    "amazon-2023": '{"user_id": "u", "parent_asin": "a", "rating": 5.0, "timestamp": 1441324800123}\n',
}
SOURCES = {
    "iisan-tsv": ("items.tsv", ITEMS, "users.tsv", "u\ta b\nv\tb\n"),
    "movielens csv": ("movies.csv", MOVIES, "ratings.csv", "userId,movieId,rating,timestamp\nu,a,5,964982703\n"),
    "movielens dat": ("movies.dat", MOVIES_DAT, "ratings.dat", "u::a::5::978300760\nu::b::5::978300761\n"),
    "microlens 50k": ("titles.csv", MICROLENS, "pairs.tsv", "u\ta b\nv\tb\n"),
    "microlens 100k": ("titles.csv", MICROLENS, "pairs.csv", "user,item,timestamp\nu,a,1583378629552\n"),
    "amazon-2018": ("meta.json", AMAZON.format(id="asin"), "reviews.json", REVIEW["amazon-2018"] * 2),
    "amazon-2023": ("meta.jsonl", AMAZON.format(id="parent_asin"), "reviews.jsonl", REVIEW["amazon-2023"] * 2),
    "table": ("items.csv", CSV, "log.csv", "user_id,item_id,timestamp\nu,a,2024-01-31\nu,b,2024-02-01\n"),
}
"""Kind → catalogue and log, names and contents, that import without complaint."""

ANOTHER_DELIMITER = {
    "iisan-tsv": ("\t", ";"),
    "movielens csv": (",", ";"),
    "movielens dat": ("::", ","),
    "microlens 50k": ("\t", ","),
    "microlens 100k": (",", "\t"),
    "amazon-2018": ("}\n", "}, "),
    "amazon-2023": ("}\n", "}, "),
    "table": (",", "\t"),
}
A_COLUMN_LESS = {
    "iisan-tsv": ("\ta b", ""),
    "movielens csv": ("timestamp", "when"),
    "movielens dat": ("::978300761", ""),
    "microlens 50k": ("\tb\n", "\n"),
    "microlens 100k": ("item", "thing"),
    "amazon-2018": ("asin", "thing"),
    "amazon-2023": ("parent_asin", "thing"),
    "table": ("timestamp", "when"),
}
AN_ID_WITH_A_TAB = {
    "iisan-tsv": ("v\tb", "v\tb\tc"),
    "movielens csv": ("u,a,", '"u\t1",a,'),
    "movielens dat": ("u::b", "u\t1::b"),
    "microlens 50k": ("v\tb", "v\tb\tc"),
    "microlens 100k": ("u,a,", '"u\t1",a,'),
    "amazon-2018": ('"a"', '"a\\t1"'),
    "amazon-2023": ('"a"', '"a\\t1"'),
    "table": ("u,b,", '"u\t1",b,'),
}
OUT_OF_RANGE = {
    "movielens csv": ("964982703", "64982703"),
    "movielens dat": ("978300761", "97830076100"),
    "microlens 100k": ("1583378629552", "17"),
    "amazon-2018": ("1441324800", "0"),
    "amazon-2023": ("1441324800123", "9441324800123"),
    "table": ("2024-02-01", "0204-02-01"),
}
"""Kinds whose log has times; positions are made by the importer."""

PLACE = r"line \d+\b"
REMEDY = r"; \w+|, expected \d"


def broken(write, imported, kind, change):
    """Import a changed log; returns the sentence that refuses it."""
    catalogue, catalogue_text, log, log_text = SOURCES[kind]
    content = change(log_text)
    files = write(catalogue, catalogue_text), write(log, content)
    assert files[1].read_bytes() != log_text.encode(), "the fault is there"
    with pytest.raises(RefusedError) as refused:
        imported(kind.split()[0], *files)
    return str(refused.value), log


def assert_says_where_and_what_to_do(sentence, log):
    assert log in sentence
    assert re.search(PLACE, sentence), sentence
    assert re.search(REMEDY, sentence), sentence


@pytest.mark.parametrize("kind", SOURCES)
def test_the_sources_themselves_are_sound(write, imported, kind):
    catalogue, catalogue_text, log, log_text = SOURCES[kind]
    dataset = imported(kind.split()[0], write(catalogue, catalogue_text), write(log, log_text))
    assert dataset.interactions["item_id"][0] == "a"


@pytest.mark.parametrize("kind", SOURCES)
def test_files_may_be_packed(write, imported, kind):
    catalogue, catalogue_text, log, log_text = SOURCES[kind]
    packed = write(f"{catalogue}.gz", gzip.compress(catalogue_text.encode()))
    dataset = imported(kind.split()[0], packed, write(f"{log}.gz", gzip.compress(log_text.encode())))
    assert dataset.items["title"].to_list()[0] == "A"


FAULTS = {
    "another delimiter": ANOTHER_DELIMITER,
    "a column less": A_COLUMN_LESS,
    "an id with a tab": AN_ID_WITH_A_TAB,
    "a date out of range": OUT_OF_RANGE,
}


@pytest.mark.parametrize(("fault", "kind"), [(fault, kind) for fault, changes in FAULTS.items() for kind in changes])
def test_faults_in_the_text(write, imported, tmp_path, fault, kind):
    old, new = FAULTS[fault][kind]
    assert_says_where_and_what_to_do(*broken(write, imported, kind, lambda text: text.replace(old, new)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if kind != "movielens dat"])
def test_what_is_not_utf8(write, imported, kind):
    """MovieLens 1M is Latin-1 itself, so there every byte is a letter."""
    sentence, log = broken(write, imported, kind, lambda text: text.replace("u", "\xfc").encode("latin-1"))
    assert re.search(r"byte 0xfc is not UTF-8; save the (interaction )?file as UTF-8", sentence)
    assert_says_where_and_what_to_do(sentence, log)


@pytest.mark.parametrize("kind", SOURCES)
def test_a_gzip_file_that_breaks_off(write, imported, kind):
    def cut(text):
        first, _, rest = text.partition("\n")
        return gzip.compress("\n".join([first, *[rest.rstrip("\n")] * 3000, ""]).encode())[:-30]

    sentence, log = broken(write, imported, kind, cut)
    assert log in sentence
    assert "the compressed data breaks off" in sentence
    assert "download the file again" in sentence


@pytest.mark.parametrize("kind", SOURCES)
def test_a_gzip_file_that_turns_to_noise(write, imported, kind):
    def spoilt(text):
        packed = bytearray(gzip.compress((text * 50).encode()))
        packed[20:40] = b"\xff" * 20
        return bytes(packed)

    sentence, log = broken(write, imported, kind, spoilt)
    assert log in sentence
    assert "the compressed data breaks off" in sentence


@pytest.mark.parametrize("kind", SOURCES)
def test_catalogues_of_another_delimiter(write, imported, kind):
    catalogue, catalogue_text, log, log_text = SOURCES[kind]
    old, new = ANOTHER_DELIMITER[kind] if "microlens" not in kind else (",", "\t")
    with pytest.raises(RefusedError) as refused:
        imported(kind.split()[0], write(catalogue, catalogue_text.replace(old, new)), write(log, log_text))
    assert_says_where_and_what_to_do(str(refused.value), catalogue)
