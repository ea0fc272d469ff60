import io
import json
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from data_tools.writing import MIN_LENGTH, SOURCE_LINE, default_name, write_dataset
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError

ITEMS = {"item_id": ["a", "b", "c"], "title": ["A", "B &amp;amp; b", None]}
LOG = {"user_id": ["u", "u", "v"], "item_id": ["a", "b", "c"], "timestamp": [0, 1, 0]}


def png(colour="red"):
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(stream, format="PNG")
    return stream.getvalue()


def write(folder, *, items=ITEMS, log=LOG, **options):
    return write_dataset(
        folder,
        name="test",
        source="a test",
        items=pl.DataFrame(items),
        interactions=pl.DataFrame(log),
        images=options.pop("images", None),
        dropped=options.pop("dropped", None),
        reported=options.pop("reported", None),
        also=options.pop("also", None),
    )


def refused(tmp_path, match, **tables):
    """The write is refused with this sentence and leaves nothing behind."""
    with pytest.raises(RefusedError, match=match):
        write(tmp_path / "d", **tables)
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_is_what_the_library_reads(tmp_path):
    written = write(tmp_path / "d", dropped={"bots": 7}, reported={"odd": 1})
    read = Dataset.load(tmp_path / "d")
    assert read.items.equals(written.items)
    assert read.items.columns == ["item_id", "title", "image"]
    assert read.items["title"].to_list() == ["A", "B & b", None]
    assert read.interactions.to_dict(as_series=False) == LOG
    card = json.loads((tmp_path / "d" / "dataset.json").read_text())
    assert (card["name"], card["source"]) == ("test", "a test")
    assert card["counts"] == {"items": 3, "users": 2, "interactions": 3, "images": 0}
    assert card["dropped"]["bots"] == 7
    assert card["reported"]["odd"] == 1
    assert card["reported"]["items_without_title"] == 1
    assert card["reported"]["items_without_image"] == 3


@pytest.mark.parametrize("name", ["a/b", ".hidden", "", "a\\b"])
def test_a_name_that_names_no_folder_is_refused(tmp_path, name):
    with pytest.raises(RefusedError, match=r"a dataset cannot be called .* give another --name"):
        write_dataset(
            tmp_path / "d", name=name, source="a test", items=pl.DataFrame(ITEMS), interactions=pl.DataFrame(LOG)
        )


def test_a_dataset_is_called_after_a_folder(tmp_path):
    assert default_name(tmp_path / "shop") == "shop"
    assert default_name(tmp_path / ".shop") == "shop"
    assert default_name(Path("/")) == "dataset"


def test_further_text_columns_are_cleaned_and_kept(tmp_path):
    items = {**ITEMS, "plot": ["x &lt; y", " ", None], "genres": ["1", "2", "3"]}
    dataset = write(tmp_path / "d", items=items)
    assert dataset.text_columns == ["title", "plot", "genres"]
    assert dataset.items["plot"].to_list() == ["x < y", None, None]


def test_interactions_of_unknown_items_are_dropped_and_counted(tmp_path):
    log = {
        "user_id": ["u", "u", "v", "u"],
        "item_id": ["a", "?", "?", "b"],
        "timestamp": [0, 1, 0, 2],
    }
    dataset = write(tmp_path / "d", log=log)
    assert dataset.interactions["item_id"].to_list() == ["a", "b"]
    assert dataset.card.dropped["interactions_of_unknown_items"] == 2
    assert dataset.card.dropped["users_without_known_items"] == 1


def test_equal_item_rows_are_merged_and_counted(tmp_path):
    items = {"item_id": ["a", "b", "a"], "title": ["A &amp; A", "B", "A  & A"]}
    log = {"user_id": ["u"], "item_id": ["a"], "timestamp": [0]}
    dataset = write(tmp_path / "d", items=items, log=log)
    assert dataset.items["item_id"].to_list() == ["a", "b"]
    assert dataset.card.dropped["duplicate_item_rows"] == 1


def test_conflicting_rows_of_an_item_are_refused_by_line(tmp_path):
    items = {"item_id": ["a", "b", "a"], "title": ["A", "B", "C"], SOURCE_LINE: [2, 3, 9]}
    refused(tmp_path, r"'a' has conflicting rows: line 2 has title 'A', line 9 has 'C'", items=items)
    items = {"item_id": ["a", "a"], "title": ["A", "A"], "image": ["x.png", None]}
    refused(tmp_path, r"line 1 has image 'x.png', line 2 has None", items=items)


def test_users_keep_their_first_place_and_ties_their_order(tmp_path):
    log = {
        "user_id": ["v", "u", "v", "u", "v", "v"],
        "item_id": ["a", "c", "b", "a", "c", "a"],
        "timestamp": [5, 9, 1, 9, 5, 5],
    }
    interactions = write(tmp_path / "d", log=log).interactions
    expected = [("v", "b", 1), ("v", "a", 5), ("v", "c", 5), ("v", "a", 5), ("u", "c", 9), ("u", "a", 9)]
    assert interactions.rows() == expected


def test_short_users_are_counted_and_kept(tmp_path):
    lengths = {"short": MIN_LENGTH - 1, "long": MIN_LENGTH}
    users = [user for user, length in lengths.items() for _ in range(length)]
    log = {"user_id": users, "item_id": ["a"] * len(users), "timestamp": list(range(len(users)))}
    dataset = write(tmp_path / "d", log=log)
    assert dataset.card.reported["users_below_minimum"] == 1
    assert dataset.interactions.height == len(users)


def test_pictures_are_copied_and_bad_ones_counted(tmp_path, caplog):
    items = {
        "item_id": ["a", "b/../b", "c", "d"],
        "title": list("ABCD"),
        "image": ["x/1.png", "2", "broken.jpg", "absent.jpg"],
    }
    images = {"x/1.png": png("red"), "2": png("blue"), "broken.jpg": png()[:-30]}
    dataset = write(tmp_path / "d", items=items, log={**LOG, "item_id": ["a", "c", "d"]}, images=images)
    first, second, third, fourth = dataset.image_paths()
    assert (third, fourth) == (None, None)
    assert first == tmp_path / "d" / "images" / "a.png"
    assert (first.read_bytes(), second.read_bytes()) == (png("red"), png("blue"))
    assert sorted((tmp_path / "d" / "images").iterdir()) == sorted([first, second])
    assert dataset.card.counts["images"] == 2
    wanting = {"missing_image_files": 1, "unreadable_images": 1, "items_without_image": 2}
    assert wanting.items() <= dataset.card.reported.items()
    assert "broken.jpg" in caplog.text
    assert "absent.jpg" in caplog.text


@pytest.mark.parametrize("table", ["item", "interaction"])
def test_empty_tables_are_refused(tmp_path, table):
    schema = {"item_id": pl.String, "title": pl.String, "user_id": pl.String, "timestamp": pl.Int64}
    empty = pl.DataFrame(schema=schema)
    argument = {"items": empty.drop("user_id", "timestamp")} if table == "item" else {"log": empty}
    refused(tmp_path, f"{table} table is empty", **argument)


def test_a_catalogue_that_fits_no_interaction_is_refused(tmp_path):
    log = {**LOG, "item_id": ["x", "y", "z"]}
    refused(tmp_path, "none of the 3 interactions .* first names 'x'.* begins with 'a'", log=log)


@pytest.mark.parametrize(
    ("tables", "match"),
    [
        ({"items": {"item_id": ["a"]}}, r"item table lacks the columns \['title'\]"),
        ({"log": {"user_id": ["u"], "item_id": ["a"]}}, r"lacks the columns \['timestamp'\]"),
        ({"items": {"item_id": [1], "title": ["A"]}}, r"wrong type \{'item_id': Int64\}"),
        ({"log": {**LOG, "timestamp": [0.5, 1.0, 2.0]}}, r"wrong type \{'timestamp': Float64\}"),
        ({"items": {"item_id": ["a", " ", "c"], "title": list("ABC")}}, "row 2 has an empty item_id"),
        ({"log": {**LOG, "user_id": ["u", "u", None]}}, "row 3 has an empty user_id"),
        ({"log": {**LOG, "timestamp": [0, None, 1]}}, "row 2 has no timestamp"),
    ],
)
def test_bad_tables_are_refused(tmp_path, tables, match):
    refused(tmp_path, match, **tables)


def test_further_files_are_written_with_the_rest_or_not_at_all(tmp_path):
    write(tmp_path / "d", also=lambda folder: (folder / "more.txt").write_text("more"))
    assert (tmp_path / "d" / "more.txt").read_text() == "more"

    def fail(folder):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "e", also=fail)
    assert list(tmp_path.iterdir()) == [tmp_path / "d"]


def test_a_taken_folder_is_refused_and_untouched(tmp_path):
    write(tmp_path / "d")
    before = {p: p.read_bytes() for p in (tmp_path / "d").iterdir() if p.is_file()}
    with pytest.raises(RefusedError, match="exists already"):
        write(tmp_path / "d", items={"item_id": ["a"], "title": ["other"]})
    assert before == {p: p.read_bytes() for p in (tmp_path / "d").iterdir() if p.is_file()}
