"""What the library accepts as a dataset folder, and what it refuses."""

import shutil

import polars as pl
import pytest

from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.files import read_json, write_json


@pytest.fixture
def folder(world, tmp_path):
    return shutil.copytree(world.dataset.folder, tmp_path / "dataset")


def change_card(folder, **values):
    path = folder / "dataset.json"
    write_json(path, read_json(path, what="card") | values)


def change(folder, name, *columns, **named):
    path = folder / f"{name}.parquet"
    pl.read_parquet(path).with_columns(*columns, **named).write_parquet(path)


def first_row(**values):
    """Columns with another value in the first row."""
    index = pl.int_range(pl.len())
    return {name: pl.when(index == 0).then(pl.lit(value)).otherwise(pl.col(name)) for name, value in values.items()}


def shuffle_users(folder):
    path = folder / "interactions.parquet"
    pl.read_parquet(path).sort("item_id").write_parquet(path)


def cut(folder, name, *, rows):
    path = folder / f"{name}.parquet"
    pl.read_parquet(path).head(rows).write_parquet(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "no dataset folder at .*; make one with `iisan data import` or `iisan data demo`"),
        (lambda f: (f / "dataset.json").unlink(), "no dataset card at"),
        (lambda f: change_card(f, surprise=1, counts={"items": "many"}), "(?s)counts.items: .*surprise: unknown key"),
        (lambda f: change_card(f, format_version=2), "has dataset format 2, this program reads 1; import the data ag"),
        (lambda f: (f / "items.parquet").unlink(), "items.parquet is missing; the dataset folder is incomplete"),
        (lambda f: (f / "items.parquet").write_bytes(b"x"), "items.parquet is no readable Parquet file"),
        (lambda f: cut(f, "items", rows=0), "items.parquet is empty; a dataset needs at least one row there"),
        (lambda f: cut(f, "items", rows=40), r"\d+ interactions name items without a row in items.parquet"),
        (lambda f: change(f, "items", title=1), "items.parquet has the wrong columns: title should be String, is Int"),
        (lambda f: change(f, "items", **first_row(item_id="i07")), "item id 'i07' stands in more than one row"),
        (lambda f: change(f, "items", **first_row(image="../x.png")), "image path '../x.png' leaves the dataset fold"),
        (lambda f: change(f, "items", **first_row(image="/etc/x")), "image path '/etc/x' leaves the dataset folder"),
        (lambda f: change(f, "interactions", pl.col("timestamp").cast(pl.Float64)), "timestamp should be Int64, is Fl"),
        (shuffle_users, "interactions.parquet is not grouped by user; import the data again"),
    ],
)
def test_what_breaks_the_contract_is_refused(folder, damage, message):
    damage(folder)
    with pytest.raises(RefusedError, match=message):
        Dataset.load(folder)


@pytest.mark.usefixtures("by_hand")
def test_texts_join_the_fields_that_are_there(folder):
    blurb = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit(" soft ")).otherwise(pl.lit("  "))
    change(folder, "items", description=blurb, **first_row(title=None))
    dataset = Dataset.load(folder)
    assert dataset.text_columns == ["title", "description"]
    assert dataset.texts()[:2] == [None, "thing 1"]
    assert dataset.texts(("title", "description"))[:3] == ["soft", "thing 1", "thing 2 soft"]
    assert dataset.texts(("description", "title"))[2] == "soft thing 2"
    with pytest.raises(RefusedError, match=r"it has \['title', 'description'\]; choose among these"):
        dataset.texts(("brand",))


def test_picture_paths_are_in_the_folder_or_none(folder):
    paths = Dataset.load(folder).image_paths()
    assert paths[0] is None
    assert all(path.is_file() and path.is_relative_to(folder) for path in paths if path is not None)
    assert sum(path is not None for path in paths) == 60 - 60 // 5
