import hashlib
import io

import polars as pl
import pytest
from PIL import Image

from data_tools.importers.request import ImportOptions
from data_tools.updating import update_dataset
from data_tools.writing import write_dataset
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError

START = 1_600_000_000


@pytest.fixture
def dataset(tmp_path):
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"], "plot": ["x", None]})
    log = pl.DataFrame(
        {"user_id": ["u", "u", "v"], "item_id": ["a", "b", "a"], "timestamp": [START, START + 9, START + 5]}
    )
    return write_dataset(tmp_path / "d", name="d", source="a test", items=items, interactions=log)


@pytest.fixture
def update(dataset, tmp_path):
    def update(log, items=None, images=None, **options):
        (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\n" + log)
        if items is not None:
            (tmp_path / "items.csv").write_text("item_id,title,plot\n" + items)
        return update_dataset(
            dataset,
            tmp_path / "log.csv",
            items=tmp_path / "items.csv" if items is not None else None,
            images=images,
            options=ImportOptions(text=("plot",), **options),
        )

    return update


def state(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.*")}


def test_a_days_log_is_appended_in_time(update):
    done = update(f"u,a,{START + 5}\nw,b,{START + 20}\nu,a,{START}\nv,zzz,{START + 30}\n")
    log = Dataset.load(done.dataset.folder).interactions
    assert log.rows() == [
        ("u", "a", START), ("u", "a", START + 5), ("u", "b", START + 9), ("v", "a", START + 5), ("w", "b", START + 20),
    ]  # fmt: skip
    facts = (done.new_interactions, done.new_users, done.already_there, done.unknown_items, done.new_items)
    assert facts == (2, 1, 1, 1, 0)
    assert done.dataset.card.counts["interactions"] == 5
    assert done.dataset.card.dropped["interactions_of_unknown_items"] == 1


def test_new_items_come_with_their_pictures(update, tmp_path):
    (tmp_path / "pictures").mkdir()
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, format="PNG")
    (tmp_path / "pictures" / "c.png").write_bytes(stream.getvalue())
    done = update(f"u,c,{START + 50}\n", "c,C &amp; c,\nb,B,\n", images=tmp_path / "pictures")
    assert done.dataset.items.rows() == [
        ("a", "A", None, "x"), ("b", "B", None, None), ("c", "C & c", "images/c.png", None),
    ]  # fmt: skip
    assert (done.new_items, done.changed_items, done.dataset.card.counts["images"]) == (1, 0, 1)


def test_an_update_is_the_import_of_both(update, dataset, tmp_path):
    added = f"w,a,{START + 1}\nu,b,{START + 2}\n"
    updated = update(added).dataset
    both = pl.concat([dataset.interactions, pl.read_csv(tmp_path / "log.csv", schema=dataset.interactions.schema)])
    whole = write_dataset(tmp_path / "w", name="d", source="x", items=dataset.items, interactions=both)
    assert updated.interactions.equals(whole.interactions)
    assert updated.card.counts == whole.card.counts


def test_texts_that_differ_are_refused_unless_told_which_count(update, dataset):
    before = state(dataset.folder)
    event = f"u,a,{START + 50}\n"
    with pytest.raises(RefusedError, match=r"items.csv: item 'a' has title 'New', before 'A'; .*--conflicts"):
        update(event, "a,New,\n")
    assert state(dataset.folder) == before
    assert update(event, "a,New,\n", conflicts="last").dataset.items.row(0) == ("a", "New", None, None)


@pytest.mark.parametrize(
    ("log", "items", "match"),
    [
        (f"u,a,{START * 1000}\n", None, "its times are in ms, those of .* in s; write them in the same"),
        (f"u,a,{START}\n", None, "none of its 1 interactions is new and names a known item"),
        ("u,a,soon\n", None, "line 2: the timestamp 'soon'"),
        (f"u,A,{START + 1}\n", None, r"'A' in the log, 'a' in the catalogue; give --ids lower"),
        (f"u,a,{START + 1}\n", ",x,y\n", "items.csv, line 2: the item_id None is empty"),
    ],
)
def test_what_an_import_refuses_is_refused_and_changes_nothing(update, dataset, log, items, match):
    before = state(dataset.folder)
    with pytest.raises(RefusedError, match=match):
        update(log, items)
    assert state(dataset.folder) == before


def test_an_order_without_times_cannot_go_on(dataset, tmp_path):
    log = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "timestamp": [0, 1]})
    other = write_dataset(tmp_path / "o", name="o", source="x", items=dataset.items, interactions=log)
    with pytest.raises(RefusedError, match="an order, but no times"):
        update_dataset(other, tmp_path / "log.csv")
