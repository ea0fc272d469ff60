"""Quotes, encodings, containers: `02-tsv-quotes`, `10-parquet`, `11-csv`."""

import pytest

from iisan_core.errors import RefusedError

PLAIN = [f"Thing number {number}" for number in range(1, 9)]
ONE_TO_EIGHT = ["One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight"]


def titles(**others):
    """One … Eight, some of them otherwise."""
    return [others.get(f"t{number}", title) for number, title in enumerate(ONE_TO_EIGHT, start=1)]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("items-inch.csv", titles(t2='Monitor 27" black', t5='Tablet 10" case')),
        ("items-inch-odd.csv", titles(t2='Monitor 27" black', t5="Tablet")),
        ("items-badesc.csv", titles(t2='"Monitor 27" black"', t5='"Tablet \\"10\\" case"')),
        ("items-bs.csv", titles(t2='The "big" one, red', t5='Tab, " odd')),
        ("items-balanced.tsv", titles(t2='"Say yes', t5='Say no"')),
        ("items-ends.tsv", titles(t2='Say "yes', t5='Say "no')),
    ],
)
def test_titles_with_quotes_stand_as_they_are(bring, items, expected):
    dataset = bring("table", f"02-tsv-quotes/{items}", "02-tsv-quotes/log.csv")
    assert dataset.items["title"].to_list() == expected
    assert dataset.interactions.height == 30


@pytest.mark.parametrize("options", [{"quoting": "none"}, {}])
def test_a_tsv_full_of_quotes(bring, options):
    dataset = bring("table", "02-tsv-quotes/items.tsv", "02-tsv-quotes/log.tsv", **options)
    assert dataset.items["title"].to_list() == [
        '"Wheel Game" Host Speaks Out',
        "Plain two",
        'He said "no" today',
        '"Unclosed start of title',
        "Plain five",
        'Closing quote at end"',
        '12" Vinyl',
        '"Fully quoted"',
    ]
    assert dataset.interactions.height == 30


@pytest.mark.parametrize("log", ["log-comment.csv", "log-comment-inch.csv", "log-comment.tsv"])
def test_quotes_in_a_column_that_nobody_asks_for(bring, log):
    plain = bring("table", "11-csv/items.csv", f"02-tsv-quotes/{log}")
    assert plain.interactions.height == 30
    assert plain.interactions["item_id"].head(6).to_list() == list("234567")


@pytest.mark.parametrize(
    "items",
    [
        "10-parquet/items-cat.parquet",
        "10-parquet/items-dec.parquet",
        "10-parquet/items-bin.parquet",
        "10-parquet/items-i8.parquet",
        "10-parquet/items-price.parquet",
        "10-parquet/items.parquet.gzip",
        "10-parquet/items.feather",
        "10-parquet/really-parquet.csv",
        "11-csv/items-bom.csv",
        "11-csv/items-bomq.csv",
        "11-csv/items-blank.csv",
        "11-csv/items-cr.csv",
        "11-csv/items-crlf.csv",
        "11-csv/items-index.csv",
        "11-csv/items-sep.csv",
        "11-csv/items-trailcomma.csv",
        "11-csv/items-utf16.csv",
        "11-csv/items.csv.bz2",
        "11-csv/items.csv.gz",
        "11-csv/items.csv.xz",
        "11-csv/items.csv.zst",
        "11-csv/items.jsonl",
    ],
)
def test_the_same_catalogue_in_many_files(bring, items):
    dataset = bring("table", items, "11-csv/log.csv")
    assert dataset.items["item_id"].to_list() == list("12345678")
    assert dataset.items["title"].to_list() == PLAIN
    assert dataset.interactions.height == 30


@pytest.mark.parametrize("log", ["10-parquet/parts", "11-csv/log-cr.csv", "11-csv/log-crlf.csv"])
def test_the_same_log_in_many_files(bring, log):
    dataset = bring("table", "11-csv/items.csv", log)
    assert dataset.interactions.height == 30
    assert dataset.interactions["item_id"].head(6).to_list() == list("234567")


@pytest.mark.parametrize(
    ("items", "options", "expected"),
    [
        ("11-csv/items-semi.csv", {"separator": ";", "log_separator": ","}, PLAIN),
        ("11-csv/items-1252.csv", {"encoding": "cp1252"}, [f"“Thing” café € number {n}" for n in range(1, 9)]),
        ("11-csv/items-utf16.txt", {"separator": "\\t", "log_separator": ","}, PLAIN),
        ("11-csv/items-Upper.csv", {"item_id": "Item_ID", "title": "Title"}, PLAIN),
        ("11-csv/items-fewer.csv", {}, [*PLAIN[:2], None, *PLAIN[3:]]),
        ("11-csv/nul.csv", {}, PLAIN),
        ("11-csv/unusual.csv", {}, [f"{title} two three four five" for title in PLAIN]),
        ("10-parquet/items-listtitle.parquet", {}, PLAIN),
        ("10-parquet/items-dec2.parquet", {"ids": "integer"}, PLAIN),
        ("10-parquet/items-nulltitle.parquet", {}, [None] * 8),
        ("10-parquet/items-nulltype.parquet", {}, [None] * 8),
    ],
)
def test_catalogues_that_need_a_word_more_or_look_otherwise(bring, items, options, expected):
    dataset = bring("table", items, "11-csv/log.csv", **{"log_item_id": "item_id"} | options)
    assert dataset.items["title"].to_list() == expected


def test_a_list_of_texts_is_joined(bring):
    dataset = bring("table", "10-parquet/items-listtext.parquet", "10-parquet/log.csv", text=("genres",))
    assert dataset.items["genres"].to_list() == PLAIN


@pytest.mark.parametrize("items", ["long.csv", "long-dup.csv"])
def test_titles_of_200_kilobytes(bring, items):
    dataset = bring("table", f"11-csv/{items}", "11-csv/log.csv")
    assert dataset.items["title"].str.len_chars().max() > 199_000
    assert dataset.items.height == 8


def test_a_tsv_without_header_and_a_title_of_200_kilobytes(bring, tmp_path):
    (tmp_path / "users.tsv").write_text("u\t1 2 3 4 5\n")
    dataset = bring("iisan-tsv", "11-csv/long-tsv.tsv", "users.tsv")
    assert dataset.items["title"].str.len_chars().max() > 199_000


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ("10-parquet/items-struct.parquet", r"the column 'title' is Struct"),
        ("10-parquet/items-bool.parquet", r"the ids in 'item_id' are Boolean"),
        ("10-parquet/items-dec2.parquet", r"are Decimal.*--ids integer"),
        ("10-parquet/csv-named.parquet", r"no Parquet file but text"),
        ("10-parquet/cut.parquet", r"cannot be read as a table"),
        ("10-parquet/empty.parquet", r"cannot be read as a table"),
        ("10-parquet/norows.parquet", r"is empty"),
        ("11-csv/items-1252.csv", r"line 2: byte 0x93 is not UTF-8.*--encoding cp1252, in which it is '“'"),
        ("11-csv/items-semi.csv", r"it seems to be ';'"),
        ("11-csv/items-utf16.txt", r"it seems to be '\\t'"),
        ("11-csv/items-Upper.csv", r"'item_id' is 'Item_ID'"),
        ("11-csv/items-commas.csv", r"line 2: 3 fields, expected 2"),
        ("11-csv/items-more.csv", r"line 10: 4 fields, expected 2"),
        ("11-csv/items-dupcol.csv", r"\['title'\] stand there twice"),
        ("11-csv/items-hash.csv", r"the columns are \['# exported 2024'\]"),
        ("11-csv/noheader.csv", r"the columns are \['1', 'Thing number 1'\]"),
        ("11-csv/header-only.csv", r"is empty"),
        ("11-csv/items.xlsx", r"is an Excel workbook"),
        ("11-csv/items.zip", r"is a zip archive.* holds items.csv"),
    ],
)
def test_what_cannot_be_read_is_named_for_what_it_is(bring, items, says, tmp_path):
    with pytest.raises(RefusedError, match=says):
        bring("table", items, "11-csv/log.csv")
    assert not (tmp_path / "out").exists()
