import datetime
import gzip

import polars as pl
import pytest

from data_tools.importers import IMPORTERS, TAKES
from data_tools.importers.request import ImportOptions, ImportRequest
from iisan_core.errors import RefusedError

ITEMS = {"sku": [3, 5], "name": ["Tea & cup", "Pot"], "colour": ["blue", None], "file": ["p/a.jpg", None]}
LOG = {"who": ["u", "u", "v"], "what": [5, 3, 3], "when": [20, 10, 10], "stars": [4.5, 1.0, 3.0]}
COLUMNS = {"item_id": "sku", "title": "name", "user_id": "who", "log_item_id": "what", "timestamp": "when"}
PLAIN_ITEMS = "item_id,title\na,A\nb,B\n"
PLAIN_LOG = "user_id,item_id,timestamp\nu,a,1\nu,b,2\n"


def saved(folder, name, table):
    """Write a table by the ending of `name`."""
    path = folder / name
    frame = pl.DataFrame(table)
    if name.endswith(".parquet"):
        frame.write_parquet(path)
    else:
        path.write_bytes((gzip.compress if name.endswith(".gz") else bytes)(csv_of(frame, name)))
    return path


def csv_of(frame, name):
    return frame.write_csv(separator="\t" if ".tsv" in name else ",").encode()


@pytest.mark.parametrize("kind", sorted(IMPORTERS))
def test_every_kind_refuses_what_it_does_not_take(kind, tmp_path):
    every = ImportOptions(
        item_id="i",
        title="t",
        image="p",
        image_url="l",
        text=("x",),
        user_id="u",
        log_item_id="j",
        timestamp="s",
        rating="r",
        min_rating=1,
        separator=";",
        log_separator=";",
        items_config="c",
        log_config="d",
        split="test",
        ids="strip",
        quoting="none",
        encoding="latin1",
        time_format="%Y",
        conflicts="first",
        skip_without_id=True,
        guess=True,
        columns=("item_id",),
        log_columns=("user_id",),
    )
    others = [name for name in every.given() if name not in TAKES[kind]]
    assert set(TAKES[kind]) <= set(every.given())
    listed = ", ".join("--" + name.replace("_", "-") for name in others)
    allowed = "it takes --" if TAKES[kind] else "it takes none"
    with pytest.raises(RefusedError, match=f"importing {kind} does not take the options {listed}; {allowed}"):
        IMPORTERS[kind](
            ImportRequest(items=tmp_path / "i", interactions=tmp_path / "l", out=tmp_path / "out", options=every)
        )


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet"])
def test_named_columns_of_any_table(tmp_path, write, imported, jpeg, ending):
    items, log = saved(tmp_path, "items" + ending, ITEMS), saved(tmp_path, "log" + ending, LOG)
    pictures = write("pictures/p/a.jpg", jpeg).parents[1]
    options = {"text": ("colour",), "image": "file", "rating": "stars", "min_rating": 3}
    dataset = imported("table", items, log, images=pictures, **COLUMNS, **options)
    assert dataset.items.rows() == [("3", "Tea & cup", "images/3.jpg", "blue"), ("5", "Pot", None, None)]
    assert dataset.items.columns == ["item_id", "title", "image", "colour"]
    assert dataset.interactions.rows() == [("u", "5", 20), ("v", "3", 10)]
    assert dataset.card.dropped["interactions_below_min_rating"] == 1


def test_web_addresses_are_kept_and_are_no_text(tmp_path, imported):
    address = "https://pictures.example/a?x=1&copy=2"
    items = saved(tmp_path, "items.parquet", {"item_id": ["a"], "title": ["A"], "link": [address]})
    log = saved(tmp_path, "log.parquet", {"user_id": ["u"], "item_id": ["a"], "timestamp": [1]})
    dataset = imported("table", items, log, image_url="link")
    assert dataset.items["image_url"].to_list() == [address]
    assert dataset.text_columns == ["title"]


def test_a_separator_of_ones_own(write, imported):
    items = write("items.txt", PLAIN_ITEMS.replace(",", ";"))
    dataset = imported("table", items, write("log.txt", PLAIN_LOG.replace(",", ";")), separator=";")
    assert dataset.interactions.rows() == [("u", "a", 1), ("u", "b", 2)]


NOON = datetime.datetime(2024, 1, 31, 12, 0)
MILLISECONDS = int(NOON.replace(tzinfo=datetime.UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["2024-01-31 12:00:00", "2024-01-31T12:00:00.250Z"], [0, 250]),
        (["2024-01-31 00:00", "2024-01-31T12:00:00"], [-43_200_000, 0]),
        (["2024-01-31", "2024-02-01"], [-43_200_000, 43_200_000]),
        ([NOON, NOON + datetime.timedelta(milliseconds=7)], [0, 7]),
        ([NOON.date(), NOON.date()], [-43_200_000, -43_200_000]),
        ([float(MILLISECONDS), MILLISECONDS + 5.0], [0, 5]),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_dates_become_milliseconds(tmp_path, imported, write, ending, times, expected):
    log = saved(tmp_path, "log" + ending, {"user_id": ["u", "u"], "item_id": ["a", "b"], "timestamp": times})
    dataset = imported("table", write("items.csv", PLAIN_ITEMS), log)
    assert dataset.interactions["timestamp"].to_list() == [MILLISECONDS + offset for offset in expected]


def test_time_zones_are_heeded(tmp_path, imported, write):
    table = {"user_id": ["u"], "item_id": ["a"], "timestamp": pl.Series([NOON]).dt.replace_time_zone("UTC")}
    log = pl.DataFrame(table).with_columns(pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo"))
    dataset = imported("table", write("items.csv", PLAIN_ITEMS), saved(tmp_path, "log.parquet", log))
    assert dataset.interactions["timestamp"].to_list() == [MILLISECONDS]


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ("u,a\n", r"log.csv, line 4: the timestamp None is no whole number from 0 up; give integers"),
        ("u;a;3\n", r"log.csv, line 4: the item_id None is empty"),
        ("u,a,-3\n", r"log.csv, line 4: the timestamp '-3' is no whole number"),
        ("u,a,3.5\n", r"log.csv, line 4: the timestamp '3.5' is no whole number"),
        ("u,a,99999999999999999999\n", r"log.csv, line 4: the timestamp '9+' is no whole number"),
        ("u,a,2024-01-31\n", r"log.csv, line 4: the timestamp '2024-01-31' is no whole number"),
        ("u,a,3,4\n", r"log.csv, line 4: 4 fields, expected 3"),
        ("u,a\tb,3\n", r"log.csv, line 4: the item_id 'a\\tb' holds a tab"),
        ("\n\nu,,3\n", r"log.csv, line 6: the item_id None is empty"),
        ("caf\xe9,a,3\n", r"log.csv, line 4: byte 0xe9 is not UTF-8"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_broken_records_are_refused(write, imported, more, match, packed):
    content = (PLAIN_LOG + more).encode("latin-1")
    log = write("log.csv", gzip.compress(content) if packed else content)
    with pytest.raises(RefusedError, match=match):
        imported("table", write("items.csv", PLAIN_ITEMS), log)


@pytest.mark.parametrize("time", ["2024-02-30", "1066-10-14", "9999-12-31", "31.01.2024", "7"])
def test_dates_that_cannot_be_are_refused(write, imported, time):
    log = write("log.csv", f"user_id,item_id,timestamp\nu,a,2024-01-31\nu,b,{time}\n")
    with pytest.raises(
        RefusedError, match=rf"line 3: the timestamp '{time}' is no time between 1990 and 2100 as a date"
    ):
        imported("table", write("items.csv", PLAIN_ITEMS), log)


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ({"user_id": ["u"], "item_id": ["a"]}, r"log.parquet, line 1: the columns are .*\['timestamp'\] not among"),
        ({"user_id": ["u"], "item_id": [None], "timestamp": [1]}, r"log.parquet, row 1: the item_id None is empty"),
        ({"user_id": ["u", "u"], "item_id": ["a", "b"], "timestamp": [1, -1]}, r"log.parquet, row 2: the timestamp -1"),
        ({"user_id": ["u"], "item_id": [7.0], "timestamp": [1]}, r"the ids in 'item_id' are Float64; cast them"),
        ({"user_id": ["u"], "item_id": ["a"], "timestamp": [True]}, r"'timestamp' is Boolean; times are whole numbers"),
    ],
)
def test_broken_parquet_is_refused(tmp_path, write, imported, table, match):
    with pytest.raises(RefusedError, match=match):
        imported("table", write("items.csv", PLAIN_ITEMS), saved(tmp_path, "log.parquet", table))


def test_a_tab_as_it_is_typed(write, imported):
    items = write("items.txt", PLAIN_ITEMS.replace(",", "\t"))
    log = write("log.txt", PLAIN_LOG.replace(",", "\t"))
    assert imported("table", items, log, separator=r"\t").items.height == PLAIN_ITEMS.strip().count("\n")


@pytest.mark.parametrize("options", [{"user_id": "item_id"}, {"rating": "timestamp", "min_rating": 1}])
def test_one_column_cannot_be_two_things(write, imported, options):
    with pytest.raises(RefusedError, match=r"log.csv: the column '\w+' is named for two things; user, item, time"):
        imported("table", write("items.csv", PLAIN_ITEMS), write("log.csv", PLAIN_LOG), **options)


def test_columns_that_nobody_asks_for_may_share_a_name(write, imported):
    items = write("items.csv", "item_id,title,note,note,,\na,One,x,y,,\n")
    log = write("log.csv", "user_id,item_id,timestamp\nu,a,1\n")
    assert imported("table", items, log, text=()).items["title"].to_list() == ["One"]


def test_blank_lines_count_wherever_they_stand(write, imported):
    items = write("items.csv", "\n\nitem_id,title\n\na,One\n\na,Two\n")
    log = write("log.csv", "user_id,item_id,timestamp\nu,a,1\n")
    with pytest.raises(RefusedError, match="line 5 has title 'One', line 7 has 'Two'"):
        imported("table", items, log)
    log = write("log.csv", "\nuser_id,item_id,timestamp\n\nu,a,1\nu,,2\n")
    with pytest.raises(RefusedError, match=r"log.csv, line 5: the item_id None is empty"):
        imported("table", items, log)


def test_files_that_are_no_table_are_refused(write, imported, tmp_path):
    items = write("items.csv", PLAIN_ITEMS)
    with pytest.raises(RefusedError, match=r"log.parquet cannot be read as a table .*; write or download it again"):
        imported("table", items, write("log.parquet", "no parquet"))
    with pytest.raises(RefusedError, match=r"cannot read the interaction file .*none.csv \(No such file"):
        imported("table", items, tmp_path / "none.csv")
    with pytest.raises(RefusedError, match=r"cannot read the interaction file .*none.parquet \(No such file"):
        imported("table", items, tmp_path / "none.parquet")
    whole = gzip.compress((PLAIN_LOG * 5000).encode())
    with pytest.raises(RefusedError, match=r"log.csv.gz, after line \d+: the compressed data breaks off"):
        imported("table", items, write("log.csv.gz", whole[:-20]))


def test_options_that_make_no_sense_are_refused(write, imported):
    files = write("items.csv", PLAIN_ITEMS), write("log.csv", PLAIN_LOG)
    for options, match in [
        ({"min_rating": 3}, "--rating and --min-rating go together"),
        ({"text": ("title",)}, "--text title: named twice, or a name that the dataset uses itself"),
        ({"text": ("x", "x")}, "--text x: named twice"),
        ({"separator": "::"}, "--separator '::': one plain character"),
        ({"text": ("plot",)}, r"items.csv, line 1: .*\['plot'\] not among them"),
    ]:
        with pytest.raises(RefusedError, match=match):
            imported("table", *files, **options)


def test_real_ratings_as_any_table(data_folder, tmp_path):
    """MovieLens' own files, once through the importer of any table: the columns are named, the counts are the same."""
    folder = data_folder / "movielens-latest-small"
    options = ImportOptions(
        item_id="movieId", title="title", text=("genres",), user_id="userId", timestamp="timestamp",
        rating="rating", min_rating=4.0,
    )  # fmt: skip
    movies, ratings = folder / "movies.csv", folder / "ratings.csv"
    dataset = IMPORTERS["table"](
        ImportRequest(items=movies, interactions=ratings, out=tmp_path / "out", options=options)
    )
    with (folder / "ratings.csv").open() as stream:
        kept = sum(float(line.split(",")[2]) >= 4 for line in list(stream)[1:])
    assert dataset.interactions.height == kept
    assert dataset.card.dropped["interactions_below_min_rating"] == 100_836 - kept
    assert dataset.items.height == 9_742
