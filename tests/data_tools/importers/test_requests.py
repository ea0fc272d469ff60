"""What is left to the user: contradicting rows, rows without id, files without header, odd JSON, other containers."""

import json
import zipfile

import polars as pl
import pytest

from data_tools.importers.guesses import look_swapped
from iisan_core.errors import RefusedError

ITEMS = "item_id,title\na,A\nb,B\n"
LOG = "user_id,item_id,timestamp\nu,a,1\nu,b,2\n"


def test_contradicting_rows_are_refused_unless_told_which_counts(write, imported, tmp_path):
    files = write("items.csv", ITEMS + "a,Other\nb,B\n"), write("log.csv", LOG)
    with pytest.raises(RefusedError, match=r"line 2 has title 'A', line 4 has 'Other'.*--conflicts first or last"):
        imported("table", *files)
    first = imported("table", *files, conflicts="first")
    assert first.items["title"].to_list() == ["A", "B"]
    assert first.card.dropped["conflicting_item_rows"] == 1
    first.folder.rename(tmp_path / "first")
    assert imported("table", *files, conflicts="last").items.sort("item_id")["title"].to_list() == ["Other", "B"]


def test_rows_without_id_are_skipped_and_listed_on_request(write, imported):
    files = write("items.csv", ITEMS + ",C\nnan,D\n"), write("log.csv", LOG + ",a,3\nv,None,4\nv,b,5\n")
    with pytest.raises(RefusedError, match=r"log.csv, line 4: the user_id None is empty"):
        imported("table", *files)
    dataset = imported("table", *files, skip_without_id=True)
    assert (dataset.card.dropped["items_without_id"], dataset.card.dropped["interactions_without_id"]) == (2, 2)
    assert dataset.interactions.rows() == [("u", "a", 1), ("u", "b", 2), ("v", "b", 5)]
    report = pl.read_parquet(dataset.folder / "import-report.parquet")
    assert report.filter(pl.col("reason") == "no id").select("table", "id").rows() == [
        ("items", ""),
        ("items", "nan"),
        ("interactions", ""),
        ("interactions", "v"),
    ]


def test_a_fault_of_another_kind_is_refused_even_so(write, imported):
    files = write("items.csv", ITEMS), write("log.csv", LOG + ",a,soon\nv,b,soon\n")
    with pytest.raises(RefusedError, match="line 5: the timestamp 'soon'"):
        imported("table", *files, skip_without_id=True)


def test_files_without_header(write, imported):
    files = write("items.csv", "x,a,A\nx,b,B\n"), write("log.csv", "1;a;9;u\n2;b;9;u\n")
    dataset = imported(
        "table",
        *files,
        columns=("_", "item_id", "title"),
        log_separator=";",
        log_columns=("timestamp", "item_id", "_", "user_id"),
    )
    assert dataset.items["title"].to_list() == ["A", "B"]
    assert dataset.interactions.rows() == [("u", "a", 1), ("u", "b", 2)]


def test_json_lines_as_they_are_written_elsewhere(write, imported):
    """A byte order mark, NaN, half of a character, numbers for texts."""
    items = '\ufeff{"item_id": 1, "title": "a\\udc00b", "price": NaN}\n\n{"item_id": 2, "title": ["x", null, 5]}\n'
    log = "".join(json.dumps({"user_id": 7, "item_id": item, "timestamp": item}) + "\n" for item in (1, 2))
    dataset = imported("table", write("items.jsonl", items), write("log.jsonl", log))
    assert dataset.items["title"].to_list() == ["a\ufffdb", "x 5"]
    assert dataset.interactions.rows() == [("7", "1", 1), ("7", "2", 2)]


def test_an_object_is_no_text(write, imported):
    items = write("items.jsonl", '{"item_id": 1, "title": "x"}\n{"item_id": 2, "title": {"en": "x"}}\n')
    with pytest.raises(RefusedError, match=r"items.jsonl, line 2: the field 'title' is an object with the fields en"):
        imported("table", items, write("log.csv", LOG))


def test_an_excel_workbook(tmp_path, write, imported):
    pytest.importorskip("fastexcel", reason='needs `fastexcel`: pip install "iisan-workbench[excel]"')
    cells = "".join(f'<row r="{r}"><c r="A{r}" t="inlineStr"><is><t>{a}</t></is></c>'
                    f'<c r="B{r}" t="inlineStr"><is><t>{b}</t></is></c></row>'
                    for r, (a, b) in enumerate([("item_id", "title"), ("a", "A"), ("b", "B")], start=1))  # fmt: skip
    main, office = "http://schemas.openxmlformats.org/spreadsheetml/2006/main", "http://schemas.openxmlformats.org"
    relation = f"{office}/officeDocument/2006/relationships"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{office}/package/2006/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{office}/package/2006/relationships"><Relationship Id="r1" '
        f'Type="{relation}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relation}"><sheets><sheet name="S" sheetId="1" '
        'r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{office}/package/2006/relationships"><Relationship '
        f'Id="r1" Type="{relation}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>',
    }
    path = tmp_path / "items.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    assert imported("table", path, write("log.csv", LOG)).items["title"].to_list() == ["A", "B"]


def test_an_unknown_encoding_is_refused(write, imported):
    with pytest.raises(RefusedError, match="--encoding 'latin9000' is unknown"):
        imported("table", write("items.csv", ITEMS), write("log.csv", LOG), encoding="latin9000")


def test_the_temporary_copy_goes_with_the_import(write, imported, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    imported("table", write("items.csv", ITEMS.encode("utf-16")), write("log.csv", LOG))
    assert list((tmp_path / "temporary").iterdir()) == []


def test_columns_and_separators_are_guessed_and_said(write, imported, caplog):
    files = write("items.txt", "ASIN;Name\na;A\nb;B\n"), write("log.txt", "userId\tasin\tDate\nu\ta\t1\nu\tb\t2\n")
    with pytest.raises(RefusedError, match=r"seems to be '\\t'"):
        imported("table", *files)
    dataset = imported("table", *files, guess=True)
    assert dataset.items["title"].to_list() == ["A", "B"]
    assert dataset.interactions.rows() == [("u", "a", 1), ("u", "b", 2)]
    said = "--item-id 'ASIN' --title 'Name' --user-id 'userId' --log-item-id 'asin' --timestamp 'Date'"
    assert said in caplog.text


def test_what_is_named_is_not_guessed(write, imported):
    files = write("items.csv", "id,sku,title\n1,a,A\n2,b,B\n"), write("log.csv", LOG)
    dataset = imported("table", *files, guess=True, item_id="sku", log_item_id="item_id")
    assert dataset.interactions["item_id"].to_list() == ["a", "b"]


def test_swapped_files_are_known_by_their_columns():
    assert look_swapped(["userId", "asin", "time"], ["asin", "title"])
    assert not look_swapped(["asin", "title"], ["userId", "asin", "time"])
    assert not look_swapped(["a", "b"], ["c"])


def test_quotes_far_apart_swallow_no_lines(write, imported):
    """Titles of which one opens a quote and another, thousands of lines below, closes it."""
    titles = {7: '"Say yes', 9_000: 'say no"', 500: '12" x'}
    items = "item_id,title,brand\n" + "".join(f"B{n},{titles.get(n, f'Title {n}')},b{n % 50}\n" for n in range(10_000))
    log = "user_id,item_id,timestamp\n" + "".join(f"u{n % 9},B{n},{n}\n" for n in range(10_000))
    dataset = imported("table", write("items.csv", items), write("log.csv", log))
    assert (dataset.items.height, dataset.interactions.height) == (10_000, 10_000)
    assert [dataset.items["title"][n] for n in titles] == list(titles.values())


@pytest.mark.parametrize("times", [None, [[5, 4], [3], None]])
def test_one_row_a_user_with_lists(tmp_path, write, imported, times):
    log = {"user_id": ["u", "v", "w"], "item_id": [["a", "b"], ["b"], []]} | ({"timestamp": times} if times else {})
    pl.DataFrame(log).write_parquet(tmp_path / "log.parquet")
    dataset = imported("table", write("items.csv", ITEMS), tmp_path / "log.parquet")
    in_order = [("u", "a", 0), ("u", "b", 1), ("v", "b", 0)]
    in_time = [("u", "b", 4), ("u", "a", 5), ("v", "b", 3)]
    assert dataset.interactions.rows() == (in_time if times else in_order)


def test_two_lists_of_a_user_have_no_order(tmp_path, write, imported):
    pl.DataFrame({"user_id": ["u", "u"], "item_id": [["a"], ["b"]]}).write_parquet(tmp_path / "log.parquet")
    with pytest.raises(RefusedError, match="the user 'u' has several rows with lists of items, and no times"):
        imported("table", write("items.csv", ITEMS), tmp_path / "log.parquet")
