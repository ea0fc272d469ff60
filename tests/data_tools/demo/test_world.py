import json

import numpy as np
import polars as pl
import pytest
from PIL import Image

from data_tools.demo.parameters import PALETTES, SEASONS, STYLES
from data_tools.demo.world import make_demo_world
from data_tools.statistics import statistics
from iisan_core.errors import RefusedError

ITEMS, USERS = 320, 60


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_demo_world(tmp_path_factory.mktemp("demo") / "a", seed=3, items=ITEMS, users=USERS)


@pytest.fixture(scope="module")
def truth(world):
    return pl.read_parquet(world.folder / "truth" / "items.parquet")


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_seed_gives_the_same_bytes(world, tmp_path):
    again = make_demo_world(tmp_path / "b", seed=3, items=ITEMS, users=USERS)
    assert len(files(world.folder)) > ITEMS * 0.9
    assert files(again.folder) == files(world.folder)


def test_another_seed_gives_another_world(world, tmp_path):
    other = make_demo_world(tmp_path / "b", seed=4, items=ITEMS, users=USERS)
    assert not other.interactions.equals(world.interactions)
    assert not other.items.equals(world.items)
    name = world.items.filter(pl.col("image").is_not_null())["image"][0]
    assert files(other.folder)[type(other.folder)(name)] != files(world.folder)[type(world.folder)(name)]


def test_the_dataset_is_what_it_says(world):
    assert world.name == "demo"
    assert world.card.counts["items"] == ITEMS
    assert world.card.counts["users"] == USERS
    assert sum(world.card.dropped.values()) == 0
    assert world.card.reported["unreadable_images"] == 0
    assert statistics(world).kept_users == USERS
    assert world.text_columns == ["title"]


def test_every_picture_is_64_square_rgb(world):
    for path in world.image_paths()[:20]:
        if path is not None:
            with Image.open(path) as image:
                assert (image.size, image.mode, image.format) == ((64, 64), "RGB", "PNG")


def test_three_percent_lack_a_picture_three_a_title_none_both(world, truth):
    items = world.items
    assert items["image"].null_count() == items["title"].null_count() == round(0.03 * ITEMS)
    assert items.filter(pl.col("image").is_null() & pl.col("title").is_null()).is_empty()
    assert truth["has_picture"].to_list() == items["image"].is_not_null().to_list()
    assert truth["has_title"].to_list() == items["title"].is_not_null().to_list()


def test_neither_palette_nor_season_alone_says_anything_of_the_style(truth):
    assert ITEMS % (len(PALETTES) * len(SEASONS)) == 0
    for seen in ("palette", "season"):
        counts = truth.group_by(seen, "style").len()
        assert counts["len"].to_list() == [ITEMS / len(PALETTES) / len(STYLES)] * 16
    assert truth.group_by("palette", "season").agg(pl.col("style").n_unique())["style"].to_list() == [1] * 16


@pytest.mark.parametrize("attribute", ["motif", "palette", "texture", "product", "material", "season", "style"])
def test_every_value_is_equally_frequent(truth, attribute):
    counts = truth[attribute].value_counts()["count"]
    assert counts.max() - counts.min() <= 1


def test_late_items_come_last_and_unsold_ones_never(world, truth):
    log = world.interactions.join(truth.select("item_id", "launch"), on="item_id", maintain_order="left")
    last = log["user_id"] != log["user_id"].shift(-1).fill_null("")
    assert dict(truth["launch"].value_counts().iter_rows()) == {
        "late": round(0.05 * ITEMS),
        "unsold": round(0.02 * ITEMS),
        "regular": ITEMS - round(0.05 * ITEMS) - round(0.02 * ITEMS),
    }
    assert not log["launch"].is_in(["unsold"]).any()
    late = log["launch"] == "late"
    assert late.any()
    assert last.filter(late).all()
    assert log.filter(late)["timestamp"].min() > log.filter(~late)["timestamp"].max()


def test_time_goes_on_and_nobody_repeats_an_item(world):
    step = world.interactions.select(pl.col("timestamp").diff().over("user_id"))["timestamp"].drop_nulls()
    assert (step >= 60).all()
    assert statistics(world).users_repeating_an_item == 0
    lengths = world.interactions["user_id"].value_counts()["count"]
    assert (lengths.min(), lengths.max()) == (6, 16)


def test_the_truth_lies_beside_the_data(world, truth):
    folder = world.folder / "truth"
    users = pl.read_parquet(folder / "users.parquet")
    assert truth["item_id"].to_list() == world.items["item_id"].to_list()
    assert set(users["user_id"]) == set(world.interactions["user_id"])
    assert dict(users["kind"].value_counts().iter_rows()) == {
        "picture": 0.3 * USERS,
        "title": 0.3 * USERS,
        "combination": 0.4 * USERS,
    }
    assert np.isclose(truth["popularity"].sum(), 1)
    recorded = json.loads((folder / "world.json").read_text())
    assert (recorded["seed"], recorded["items"], recorded["users"]) == (3, ITEMS, USERS)
    assert f"{ITEMS} items and {USERS} users" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"seed": -1}, "seed -1: it must be 0 or more"),
        ({"items": 63}, "63 items and 60 users: it needs at least 64 items"),
        ({"users": 0}, "0 users"),
    ],
)
def test_impossible_worlds_are_refused(tmp_path, options, match):
    with pytest.raises(RefusedError, match=match):
        make_demo_world(tmp_path / "d", **{"items": ITEMS, "users": USERS, **options})
    assert list(tmp_path.iterdir()) == []


def test_a_taken_folder_is_refused_before_any_work(world):
    with pytest.raises(RefusedError, match="exists already"):
        make_demo_world(world.folder, items=ITEMS, users=USERS)
