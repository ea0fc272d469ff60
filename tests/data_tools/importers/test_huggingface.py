import importlib.util
import sys

import polars as pl
import pytest

from iisan_core.errors import RefusedError

COLUMNS = {"item_id": "asin", "user_id": "user", "timestamp": "time"}
installed = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason='needs `datasets`: pip install "iisan-workbench[hub]"'
)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two folders of Parquet, as the hub keeps datasets."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    items, log = tmp_path / "items", tmp_path / "log"
    for folder, table in [
        (items, {"asin": ["a", "b"], "title": ["A", "B"], "plot": ["x", None]}),
        (log, {"user": [1, 1, 2], "asin": ["b", "a", "a"], "time": [2, 1, 1], "note": ["", "", ""]}),
    ]:
        folder.mkdir()
        pl.DataFrame(table).write_parquet(folder / "train-00000-of-00001.parquet")
    return items, log


def test_without_the_library_the_remedy_is_its_install_line(folders, imported, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(RefusedError, match=r'needs the library `datasets`; pip install "iisan-workbench\[hub\]"$'):
        imported("huggingface", *folders, **COLUMNS)


@installed
def test_a_local_folder_that_the_library_loads(folders, imported):
    dataset = imported("huggingface", *folders, **COLUMNS, text=("plot",))
    assert dataset.name == "items"
    assert dataset.items.rows() == [("a", "A", None, "x"), ("b", "B", None, None)]
    assert dataset.interactions.rows() == [("1", "a", 1), ("1", "b", 2), ("2", "a", 1)]


@installed
def test_what_is_not_there_is_refused(folders, imported, tmp_path):
    items, log = folders
    with pytest.raises(RefusedError, match=r"log.*the columns are \[.*\], \['when'\] not among them"):
        imported("huggingface", items, log, item_id="asin", user_id="user", timestamp="when")
    with pytest.raises(RefusedError, match=r"cannot load .*split test\): .*; check its id on the hub"):
        imported("huggingface", items, log, **COLUMNS, split="test")
    with pytest.raises(RefusedError, match=r"cannot load .*none .*; check its id on the hub"):
        imported("huggingface", tmp_path / "none", log, **COLUMNS)


@installed
@pytest.mark.parametrize(
    ("column", "values", "match"),
    [
        ("asin", ["b", "a\t1", "a"], r"log.* row 2\b.*tab"),
        ("asin", ["b", None, "a"], r"log.* row 2\b"),
        ("time", ["2024-01-31", "204-01-31", "2024-02-01"], r"log.* row 2\b.*204-01-31"),
    ],
)
def test_broken_rows_are_refused(folders, imported, column, values, match):
    items, log = folders
    file = log / "train-00000-of-00001.parquet"
    pl.read_parquet(file).with_columns(pl.Series(column, values)).write_parquet(file)
    with pytest.raises(RefusedError, match=match) as refused:
        imported("huggingface", items, log, **COLUMNS)
    assert "; " in str(refused.value), "it says what to do"


@installed
def test_files_that_the_library_cannot_read_are_refused_with_the_cause(imported, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.csv").write_text('item_id,title\na,b\n"c,d\n')
    with pytest.raises(RefusedError, match=r"cannot load .*broken .*: .*tokenizing.*; check its id on the hub"):
        imported("huggingface", tmp_path / "broken", tmp_path / "broken")


@installed
def test_a_dataset_that_is_a_program_is_refused(folders, imported, tmp_path):
    (tmp_path / "scripted").mkdir()
    (tmp_path / "scripted" / "scripted.py").write_text("import datasets\n")
    with pytest.raises(RefusedError, match=r"scripts.*made by a program.*import them by their own kind"):
        imported("huggingface", tmp_path / "scripted", folders[1], **COLUMNS)
