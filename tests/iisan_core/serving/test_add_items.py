"""Items that come after training."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
import torch
from PIL import Image

from iisan_core.config.schema import RunConfig
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.runs.run_folder import RunFolder
from iisan_core.serving.recommender import Recommender
from tests.iisan_core.backbones.tiny_joint import save_tiny_joint

from .conftest import COLOURS, items_table, make_world, picture, trained

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = {
    "both": {},
    "bfloat16": {"training": {"precision": "bfloat16", "epochs": 1}},
    "text only": {"modalities": ("text",), "training": {"epochs": 1}},
    "image only": {"modalities": ("image",), "training": {"epochs": 1}},
    "ids beside them": {"model": {"ids": True}, "training": {"epochs": 1}},
    "linear": {"model": {"adapter": "linear"}, "training": {"epochs": 1}},
    "mlp": {"model": {"adapter": "mlp"}, "training": {"epochs": 1}},
    "all parts": {"model": {"frozen": True, "together": True}, "training": {"epochs": 1}},
}


@pytest.fixture(scope="module")
def recommender(content_run):
    return Recommender.load(content_run)


def new_items(colours=("red", "green", "blue")):
    table = items_table(list(colours), ["mug"] * len(colours), [f"new {c}" for c in colours])
    return table, {f"new {c}": picture(c, 1000 + n) for n, c in enumerate(colours)}


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "ids beside them"])
def test_known_items_under_new_ids_get_the_vectors_that_they_have(kind, content_world, tmp_path):
    recommender = Recommender.load(trained(content_world.config(**KINDS[kind]), tmp_path / "run"))
    some = content_world.dataset.items[[0, 7, 20]]
    larger = recommender.add_items(some.with_columns(item_id="again " + pl.col("item_id")))
    rows = torch.tensor([1, 8, 21])
    torch.testing.assert_close(larger._table[-3:], recommender._table[rows], rtol=1e-3, atol=1e-3)
    for item_id in some["item_id"]:
        like = {similar.item_id: similar.cosine for similar in larger.similar_items(item_id, k=47)}
        assert like[f"again {item_id}"] == pytest.approx(1, abs=1e-3)


def test_a_new_item_has_every_part_that_its_content_gives_it(content_world, tmp_path):
    """A frozen part from the first moment; nothing that is counted, as candidate or in a history."""
    recommender = Recommender.load(trained(content_world.config(**KINDS["all parts"]), tmp_path / "run"))
    table, images = new_items()
    larger = recommender.add_items(table, images=images)
    why = larger.explain("new red", user="u00")
    parts = {part.name: part.score for part in why.parts}
    assert parts.keys() == {"image", "text", "inter", "frozen image", "frozen text", "together", "bias"}
    assert sum(parts.values()) == pytest.approx(why.score, abs=1e-5)
    assert parts["frozen image"] and parts["frozen text"] and parts["together"] == 0
    (answer,) = larger.recommend(users=["u00"], k=len(larger.item_ids))
    assert {item.item_id: item.score for item in answer}["new red"] == pytest.approx(why.score, abs=1e-5)
    assert larger.explain("i00", history=["new red"]).parts[-2].score == 0
    with_new = larger.explain("i06", history=["i03", "new red"])
    assert with_new.parts[-2].score == pytest.approx(
        larger._reader.together.recency * larger.explain("i06", history=["i03"]).parts[-2].score
    ), "an unknown item takes its place in the order"
    assert larger.suited_users("new red", k=3)


def test_a_new_item_of_a_model_with_ids_has_no_id_part(content_world, tmp_path):
    config = content_world.config(**KINDS["ids beside them"])
    recommender = Recommender.load(trained(config, tmp_path / "run"))
    table, images = new_items()
    larger = recommender.add_items(table, images=images)
    why = larger.explain("new red", user="u00")
    parts = {part.name: part.score for part in why.parts}
    assert parts["ids"] == pytest.approx(0, abs=1e-5)
    assert sum(parts.values()) == pytest.approx(why.score, abs=1e-5)


def test_a_model_of_ids_alone_can_say_nothing_about_new_items(content_world, tmp_path):
    config = content_world.config(modalities=(), model={"ids": True, "standardize": False}, training={"epochs": 1})
    recommender = Recommender.load(trained(config, tmp_path / "run"))
    with pytest.raises(RefusedError, match="knows items by their ids alone"):
        recommender.add_items(new_items()[0])


def test_new_items_are_recommended_at_once_to_whom_they_suit(recommender):
    table, images = new_items()
    larger = recommender.add_items(table, images=images)
    assert larger.item_ids == [*recommender.item_ids, *table["item_id"]]
    for n, colour in enumerate(COLOURS):
        answers = larger.recommend(users=[f"u{user:02}" for user in range(n, 36, 3)], candidates=table["item_id"])
        assert sum(answer[0].item_id == f"new {colour}" for answer in answers) > 0.8 * len(answers)
        suited = larger.suited_users(f"new {colour}", k=5)
        assert all(int(user.user_id[1:]) % 3 == n for user in suited)
        like = larger.similar_items(f"new {colour}", k=5)
        assert sum(int(item.item_id[1:]) % 3 == n for item in like if item.item_id[0] == "i") >= 3


def test_the_first_recommender_stays_as_it_is(recommender):
    before = recommender.recommend(users=["u00", "u01"], k=45)
    table, images = new_items()
    recommender.add_items(table, images=images)
    assert recommender.recommend(users=["u00", "u01"], k=45) == before
    assert len(recommender.item_ids) == len(recommender.dataset.items) == 45


def test_items_are_added_to_added_items(recommender):
    table, images = new_items()
    at_once = recommender.add_items(table, images=images)
    one_by_one = recommender
    for row in range(3):
        one = table[row : row + 1]
        one_by_one = one_by_one.add_items(one, images={i: images[i] for i in one["item_id"]})
    torch.testing.assert_close(one_by_one._table, at_once._table, rtol=1e-4, atol=1e-4)
    why, same = (r.explain("new blue", user="u02") for r in (one_by_one, at_once))
    assert [p.name for p in why.parts] == ["image", "text", "inter", "bias"]
    assert sum(p.score for p in why.parts) == pytest.approx(why.score, abs=1e-5)
    assert [p.above_mean for p in why.parts] == pytest.approx([p.above_mean for p in same.parts], abs=1e-3)
    assert one_by_one.recommend(histories=[["new blue", "i02"]], k=3)


def test_a_filter_sees_new_items_and_their_columns(recommender):
    table, images = new_items()
    larger = recommender.add_items(table.with_columns(season=pl.lit("spring")), images=images)
    (answer,) = larger.recommend(users=["u00"], filter=pl.col("season") == "spring")
    assert sorted(item.item_id for item in answer) == sorted(table["item_id"])


def test_pictures_are_files_or_images_of_any_mode(recommender, tmp_path):
    image = picture("red", 5)
    image.save(tmp_path / "red.png")
    image.convert("CMYK").save(tmp_path / "red.tif")
    given = {"a": tmp_path / "red.png", "b": str(tmp_path / "red.png"), "c": image, "d": image.convert("RGBA")}
    given |= {"e": image.convert("CMYK"), "f": tmp_path / "red.tif"}
    table = items_table(["red"] * 6, ["mug"] * 6, list(given))
    added = recommender.add_items(table, images=given)._table[-6:]
    torch.testing.assert_close(added[1:4], added[:1].expand(3, -1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(added[4], added[5], rtol=1e-4, atol=1e-4)


def test_an_unranked_item_of_the_catalogue_may_be_added(content_world, recommender):
    rows = content_world.dataset.items
    cold = rows[:1].with_columns(item_id=pl.lit("cold"))
    larger = Dataset(content_world.dataset.folder, content_world.dataset.card, pl.concat([rows, cold]),
                     content_world.dataset.interactions)  # fmt: skip
    without = Recommender(model=recommender._model, table=recommender._table, item_ids=recommender.item_ids,
                          dataset=larger, new_items=recommender._new_items)  # fmt: skip
    with_it = without.add_items(cold)
    assert {similar.item_id: similar.cosine for similar in with_it.similar_items("cold")}["i00"] == pytest.approx(1)
    assert len(with_it.dataset.items) == len(larger.items)


def test_threads_add_different_items_at_the_same_time(content_run):
    """A fresh recommender, so that the backbones are loaded while others wait for them."""
    shared = Recommender.load(content_run)

    def add(number):
        colour = list(COLOURS)[number % 3]
        table = items_table([colour], ["lamp"], ["new"])
        return shared.add_items(table, images={"new": picture(colour, number)})._table[-1]

    alone = [add(number) for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(add, range(12)))
    torch.testing.assert_close(torch.stack(together), torch.stack(alone))


GOOD = items_table(["red"], ["mug"], ["new"])


@pytest.mark.parametrize(
    ("table", "images", "message"),
    [
        (GOOD, {}, "item 'new' has no picture, and the model has learned nothing to stand in for one.*; give one"),
        (GOOD, {"new": "nowhere.png"}, "item 'new': unreadable picture: .*; give another picture"),
        (GOOD, {"old": picture("red", 1)}, "a picture of 'old', but no such item among the new ones"),
        (GOOD.drop("title"), {"new": picture("red", 1)}, "item 'new' has no text, and the model has learned nothing"),
        (GOOD.with_columns(title=pl.lit("  ")), {"new": picture("red", 1)}, "item 'new' has no text"),
        (GOOD.with_columns(item_id=pl.lit("i03")), {}, "1 of the new items are there already, the first is 'i03'"),
        (pl.concat([GOOD, GOOD]), {}, "item id 'new' stands in more than one row"),
        (GOOD.drop("item_id"), {}, "at least one row and a column item_id; this one has 1 rows and the columns title"),
        (GOOD.clear(), {}, "this one has 0 rows"),
        (GOOD.with_columns(title=pl.lit(3)), {}, "do not fit the catalogue: title should be String, is Int32"),
    ],
)
def test_items_that_cannot_be_added_are_refused(recommender, table, images, message):
    with pytest.raises(RefusedError, match=message):
        recommender.add_items(table, images=images)


def test_a_file_that_is_no_picture_is_refused(recommender, tmp_path):
    (tmp_path / "x.png").write_bytes(b"not a picture")
    with pytest.raises(RefusedError, match="item 'new': unreadable picture: cannot identify image file"):
        recommender.add_items(GOOD, images={"new": tmp_path / "x.png"})


def test_a_model_that_learned_of_gaps_takes_items_with_gaps_but_not_with_nothing(tmp_path, tiny_backbones):
    world = make_world(tmp_path, tiny_backbones, without_picture=4)
    recommender = Recommender.load(trained(world.config(training={"epochs": 1}), tmp_path / "run"))
    larger = recommender.add_items(GOOD)
    assert larger.recommend(users=["u00"], candidates=["new"])[0][0].item_id == "new"
    again = recommender.add_items(world.dataset.items[4:5].with_columns(item_id=pl.lit("again")))
    torch.testing.assert_close(again._table[-1], recommender._table[5], rtol=1e-3, atol=1e-3)
    with pytest.raises(RefusedError, match="item 'new' has no text, and the model has learned nothing"):
        recommender.add_items(GOOD.drop("title"))


@pytest.fixture
def moved(content_run, tiny_backbones, tmp_path):
    """A copy of the run whose caches and backbones are copies, too, and may be changed."""
    run = RunFolder(shutil.copytree(content_run, tmp_path / "run"))
    config = run.config()
    text = run.path / "config.yaml"
    for name, cache in config.caches.items():
        shutil.copytree(cache, tmp_path / name)
        shutil.copytree(tiny_backbones[name], tmp_path / f"{name}-backbone")
        manifest = tmp_path / name / "manifest.json"
        manifest.write_text(manifest.read_text().replace(str(tiny_backbones[name]), str(tmp_path / f"{name}-backbone")))
        text.write_text(text.read_text().replace(str(cache), str(tmp_path / name)))
    return run


@pytest.mark.usefixtures("by_hand")
def test_a_backbone_that_is_gone_or_has_changed_is_refused(moved, tmp_path):
    recommender = Recommender.load(moved.path)
    table, images = new_items()
    card = tmp_path / "text-backbone" / "config.json"
    card.write_text(card.read_text() + " ")
    with pytest.raises(RefusedError, match=r"text-backbone has changed: the cache was made by revision \w{12}, there"):
        recommender.add_items(table, images=images)
    shutil.rmtree(tmp_path / "text-backbone")
    with pytest.raises(RefusedError, match=r"no backbone at .*text-backbone: there is no such folder"):
        recommender.add_items(table, images=images)


@pytest.mark.usefixtures("by_hand")
def test_caches_that_are_gone_or_others_are_refused(moved, tmp_path):
    table, images = new_items()
    manifest = tmp_path / "image" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("      16,\n", "", 1).replace("    16,\n", "", 1))
    with pytest.raises(RefusedError, match=r"has layers of the widths .*, the model reads \[16, 16, 16, 16\]"):
        Recommender.load(moved.path).add_items(table, images=images)
    shutil.rmtree(tmp_path / "image")
    recommender = Recommender.load(moved.path)
    assert recommender.recommend(users=["u00"])
    with pytest.raises(RefusedError, match=r"no hidden-state cache at .*image: manifest.json is missing"):
        recommender.add_items(table, images=images)


def test_a_recommender_without_backbones_says_so(recommender):
    alone = Recommender(model=recommender._model, table=recommender._table, item_ids=recommender.item_ids,
                        dataset=recommender.dataset)  # fmt: skip
    with pytest.raises(RefusedError, match="made without its backbones, or on states that were damaged"):
        alone.add_items(GOOD, images={"new": Image.new("RGB", (9, 9))})


def test_a_run_on_corrupted_states_takes_no_new_items(content_world, tmp_path):
    corruption = {"corruption": {"text": {"kind": "shuffled", "share": 0.5}}}
    config = content_world.config(training={"epochs": 1}).model_dump() | corruption
    recommender = Recommender.load(trained(RunConfig.model_validate(config), tmp_path / "run"))
    with pytest.raises(RefusedError, match="or on states that were damaged to compare"):
        recommender.add_items(GOOD, images={"new": picture("red", 1)})


def test_suited_users_are_those_who_would_see_the_item_first(recommender):
    suited = recommender.suited_users("i07", k=36)
    knowing = {user for user in recommender._histories.users if "i07" in recommender.history(user)}
    assert {user.user_id for user in suited} == set(recommender._histories.users) - knowing
    for user in suited:
        (answer,) = recommender.recommend(users=[user.user_id], k=45)
        scores = {item.item_id: item.score for item in answer}
        assert user.rank == sum(score >= scores["i07"] for score in scores.values())
        assert user.score == pytest.approx(scores["i07"], rel=1e-5, abs=1e-5)
    assert [user.rank for user in suited] == sorted(user.rank for user in suited)
    few = recommender.suited_users("i07", users=["u00", "u01", "u02"], k=2)
    assert {user.user_id for user in few} < {"u00", "u01", "u02"}


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"item_id": "x"}, "no item 'x' in"),
        ({"item_id": "i01", "k": 0}, "k is 0; there are 36 users, choose 1 to that many"),
        ({"item_id": "i01", "k": 37}, "k is 37; there are 36 users"),
        ({"item_id": "i01", "users": ["nobody"], "k": 1}, "no user 'nobody' in"),
    ],
)
def test_bad_questions_for_suited_users_are_refused(recommender, question, message):
    with pytest.raises(RefusedError, match=message):
        recommender.suited_users(**question)


@pytest.fixture(scope="module")
def joint_run(tmp_path_factory):
    """A run on pictures and titles that one model reads together; one item of the catalogue has no picture."""
    folder = tmp_path_factory.mktemp("joint")
    backbone = save_tiny_joint("smolvlm", folder / "smolvlm")
    world = make_world(folder, {"joint": backbone}, without_picture=4)
    config = world.config(modalities=("joint",), training={"epochs": 2})
    return world, Recommender.load(trained(config, folder / "run"))


def test_a_joint_model_reads_picture_and_title_of_a_new_item(joint_run):
    world, recommender = joint_run
    some = world.dataset.items[[0, 4, 20]]
    larger = recommender.add_items(some.with_columns(item_id="again " + pl.col("item_id")))
    rows = torch.tensor([recommender.item_ids.index(item_id) + 1 for item_id in some["item_id"]])
    torch.testing.assert_close(larger._table[-3:], recommender._table[rows], rtol=1e-3, atol=1e-3)


def test_a_joint_model_takes_a_new_item_with_one_of_both(joint_run):
    _, recommender = joint_run
    table, images = new_items()
    whole = recommender.add_items(table, images=images)._table[-3:]
    untitled = recommender.add_items(table.with_columns(title=pl.lit(None, pl.String)), images=images)._table[-3:]
    unseen = recommender.add_items(table)._table[-3:]
    assert not torch.allclose(whole, untitled, atol=1e-3)
    assert not torch.allclose(whole, unseen, atol=1e-3)
    with pytest.raises(RefusedError, match="item 'new red' has no text and picture"):
        recommender.add_items(table.select("item_id"))
