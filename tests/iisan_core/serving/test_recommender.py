import re
import shutil

import polars as pl
import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from iisan_core.config.schema import ProtocolConfig
from iisan_core.data.dataset import Dataset
from iisan_core.data.split import split
from iisan_core.errors import RefusedError
from iisan_core.runs.run_folder import RunFolder
from iisan_core.serving.item_ids import ItemIndex
from iisan_core.serving.recommender import Recommender

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def recommender(finished):
    return Recommender.load(finished.path)


@pytest.fixture(scope="module")
def kept(world):
    return split(world.dataset, world.config().protocol)


def ids(answers):
    return [[item.item_id for item in answer] for answer in answers]


def test_recommendations_rank_as_the_evaluation_does(recommender, finished, kept):
    ranks = pl.read_parquet(finished.ranks)
    for subset in ("valid", "test"):
        histories = [[kept.item_ids[n - 1] for n in row if n] for row in kept.history(subset).newest().tolist()]
        answers = ids(recommender.recommend(histories=histories, k=len(kept.item_ids)))
        targets = [kept.item_ids[n - 1] for n in kept.targets(subset)]
        found = [1 + answer.index(target) for answer, target in zip(answers, targets, strict=True)]
        assert found == ranks[subset].to_list()


def test_scores_fall_and_are_products_of_states_and_vectors(recommender):
    (answer,) = recommender.recommend(users=["u03"], k=20)
    scores = [item.score for item in answer]
    assert scores == sorted(scores, reverse=True)
    assert len({item.item_id for item in answer}) == 20


def test_one_user_or_many_the_same_answer(recommender, kept):
    together = recommender.recommend(users=kept.user_ids.to_list(), k=5)
    for user, answer in zip(kept.user_ids.to_list(), together, strict=True):
        (alone,) = recommender.recommend(users=[user], k=5)
        assert ids([alone]) == ids([answer])
        assert [i.score for i in alone] == pytest.approx([i.score for i in answer], rel=1e-5, abs=1e-5)


def test_blocks_do_not_show(recommender, kept, monkeypatch):
    expected = ids(recommender.recommend(users=kept.user_ids.to_list(), k=5))
    monkeypatch.setattr("iisan_core.serving.retrieval.users_per_block", lambda items: 7)
    assert ids(recommender.recommend(users=kept.user_ids.to_list(), k=5)) == expected


def test_users_are_served_from_all_that_is_known_of_them(recommender, world):
    log = world.dataset.interactions.filter(user_id="u03")["item_id"].to_list()
    assert recommender.history("u03") == log
    assert recommender.recommend(users=["u03"]) == recommender.recommend(histories=[log])


def test_recommendations_follow_the_pattern(recommender, world):
    """Users stay within a class; so do most of what is left of it in their first ten."""
    classes = dict(zip(world.dataset.items["item_id"], [n % world.classes for n in range(60)], strict=True))
    hits = wanted = 0
    for number in range(30):
        own = number % world.classes
        (answer,) = ids(recommender.recommend(users=[f"u{number:02}"]))
        left = 10 - len(recommender.history(f"u{number:02}"))
        hits += sum(classes[item] == own for item in answer)
        wanted += left
    assert hits > 0.8 * wanted


def test_seen_items_are_left_out_unless_wanted(recommender):
    history = recommender.history("u03")
    every = len(recommender.item_ids)
    (without,) = ids(recommender.recommend(users=["u03"], k=every))
    (everything,) = ids(recommender.recommend(users=["u03"], k=every, exclude_seen=False))
    assert sorted(everything) == sorted(recommender.item_ids)
    assert without == [item for item in everything if item not in history]


def test_strangers_are_served_by_their_history(recommender):
    short, long = recommender.recommend(histories=[["i03"], ["i03"] * 40 + ["i09"]], k=3)
    assert len(short) == len(long) == 3
    assert recommender.recommend(histories=[["i03"]], k=3)[0][0].item_id == short[0].item_id


def test_only_the_newest_inputs_are_read_but_all_are_left_out(recommender):
    tail = ["i01", "i07", "i13", "i19"]
    (short,), (long,) = (ids(recommender.recommend(histories=[h], k=50)) for h in (tail, ["i30", *tail]))
    assert "i30" in short
    assert long[:40] == [item for item in short if item != "i30"][:40]


def test_nobody_gets_nothing(recommender):
    assert recommender.recommend(users=[]) == []
    assert recommender.recommend(histories=[]) == []


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"users": ["nobody"]}, r"no user 'nobody' in .*; users look like u00, u01, u02"),
        ({"histories": [["i01", "x"]]}, r"no item 'x' in .*; check its spelling"),
        ({"histories": [["i01"], []]}, "a history without any ranked item says nothing"),
        ({"users": ["u00"], "k": 0}, r"k is 0; there are \d+ items, choose 1 to that many"),
        ({"users": ["u00"], "k": 61}, "k is 61; there are"),
        ({}, "either users or histories, exactly one of them"),
        ({"users": ["u00"], "histories": [["i01"]]}, "either users or histories, exactly one of them"),
    ],
)
def test_questions_that_cannot_be_answered_are_refused(recommender, question, message):
    with pytest.raises(RefusedError, match=message):
        recommender.recommend(**question)


def test_items_of_the_catalogue_that_are_not_ranked_are_passed_over(recommender, world):
    items = pl.concat([world.dataset.items, world.dataset.items[:1].with_columns(item_id=pl.lit("cold"))])
    larger = Dataset(world.dataset.folder, world.dataset.card, items, world.dataset.interactions)
    model, table = recommender._model, recommender._table
    wider = Recommender(model=model, table=table, item_ids=recommender.item_ids, dataset=larger)
    assert wider.recommend(histories=[["i01", "cold"]]) == recommender.recommend(histories=[["i01"]])
    assert wider.unranked == 1
    assert wider.passed_over(["i01", "cold", "i02"]) == ["cold"]


def test_one_history_that_the_run_does_not_know_takes_nothing_from_the_others(recommender, world):
    items = pl.concat([world.dataset.items, world.dataset.items[:1].with_columns(item_id=pl.lit("cold"))])
    larger = Dataset(world.dataset.folder, world.dataset.card, items, world.dataset.interactions)
    model, table = recommender._model, recommender._table
    wider = Recommender(model=model, table=table, item_ids=recommender.item_ids, dataset=larger)

    def ids(answers):
        return [[item.item_id for item in answer] for answer in answers]

    first, second = ids(recommender.recommend(histories=[["i01"], ["i02"]], k=3))
    assert ids(wider.recommend(histories=[["i01"], ["cold"], ["i02"]], k=3)) == [first, [], second]
    assert wider.recommend(histories=[["cold"]]) == [[]]


def test_items_that_are_not_ranked_are_not_explained(recommender, world):
    items = pl.concat([world.dataset.items, world.dataset.items[:1].with_columns(item_id=pl.lit("cold"))])
    larger = Dataset(world.dataset.folder, world.dataset.card, items, world.dataset.interactions)
    model, table = recommender._model, recommender._table
    wider = Recommender(model=model, table=table, item_ids=recommender.item_ids, dataset=larger)
    assert wider.recommend(users=["u03"], candidates=["i04", "cold"])[0][0].item_id == "i04"
    with pytest.raises(RefusedError, match=r"item 'cold' is in the catalogue, not in this run, because it came"):
        wider.similar_items("cold")
    with pytest.raises(RefusedError, match="made without parts of its item vectors; load it from a run"):
        wider.explain("i04", user="u03")


def copied(finished, tmp_path):
    return RunFolder(shutil.copytree(finished.path, tmp_path / "run"))


def test_a_run_without_vectors_is_refused(finished, tmp_path):
    run = copied(finished, tmp_path)
    run.item_vectors.unlink()
    with pytest.raises(RefusedError, match=r"no item vectors at .*; let the run finish"):
        Recommender.load(run.path)
    run.item_vectors.write_bytes(b"x")
    with pytest.raises(RefusedError, match="holds no item vectors"):
        Recommender.load(run.path)


@pytest.mark.parametrize("shape", ["[61, 3]", "[]", "[488]"])
@pytest.mark.usefixtures("by_hand")
def test_vectors_of_another_shape_are_refused(finished, tmp_path, shape):
    run = copied(finished, tmp_path)
    with safe_open(run.item_vectors, framework="pt") as file:
        table, metadata = file.get_tensor("items"), file.metadata()
    wrong = {"[61, 3]": table[:, :3].contiguous(), "[]": table.sum(), "[488]": table.flatten()}[shape]
    save_file({"items": wrong}, run.item_vectors, metadata)
    with pytest.raises(
        RefusedError, match=rf"holds {re.escape(shape)} numbers, the model in .* reads vectors of width 8"
    ):
        Recommender.load(run.path)


@pytest.mark.usefixtures("by_hand")
def test_vectors_of_other_items_are_refused(finished, tmp_path):
    run = copied(finished, tmp_path)
    table = load_file(run.item_vectors)["items"]
    save_file({"items": table[:-1].contiguous()}, run.item_vectors)
    with pytest.raises(RefusedError, match=r"of 59 items that are not the 60 in .*item_ids\.parquet; train again"):
        Recommender.load(run.path)
    run.item_ids.unlink()  # as in a run of before they were kept
    with pytest.raises(RefusedError, match="has changed since the training; train again"):
        Recommender.load(run.path)


@pytest.mark.usefixtures("by_hand")
def test_a_run_of_before_item_ids_were_kept_recommends_the_same(finished, tmp_path):
    run = copied(finished, tmp_path)
    run.item_ids.unlink()
    users = ["u00", "u41"]
    assert Recommender.load(run.path).recommend(users=users) == Recommender.load(finished.path).recommend(users=users)


@pytest.mark.usefixtures("by_hand")
def test_a_catalogue_may_grow_and_be_sorted_otherwise_but_not_lose_items(finished, world, tmp_path):
    run = copied(finished, tmp_path)
    dataset = shutil.copytree(world.dataset.folder, tmp_path / "grown")
    config = yaml.safe_load((run.path / "config.yaml").read_text())
    (run.path / "config.yaml").write_text(yaml.safe_dump(config | {"dataset": str(dataset)}))
    new = world.dataset.items.head(1).with_columns(item_id=pl.lit("new"))
    grown = pl.concat([new, world.dataset.items.reverse()])
    grown.write_parquet(dataset / "items.parquet")
    expected = Recommender.load(finished.path).recommend(users=["u00"])
    assert Recommender.load(run.path).recommend(users=["u00"]) == expected
    log = world.dataset.interactions.filter(pl.col("item_id") != "i07")
    log.write_parquet(dataset / "interactions.parquet")
    grown.filter(pl.col("item_id") != "i07").write_parquet(dataset / "items.parquet")
    with pytest.raises(RefusedError, match=r"1 of the run's 60 items are not in .* any more, the first is 'i07'"):
        Recommender.load(run.path)


def test_why_an_item_is_not_in_a_run_hangs_on_what_the_run_ranks(world):
    cold = pl.concat([world.dataset.items, world.dataset.items[:1].with_columns(item_id=pl.lit("cold"))])
    dataset = Dataset(world.dataset.folder, world.dataset.card, cold, world.dataset.interactions)
    ids = world.dataset.items["item_id"].to_list()
    later = r"item 'cold' is in the catalogue, not in this run, because it came after its training; .* or add it$"
    with pytest.raises(RefusedError, match=later):
        ItemIndex(ids, dataset, ProtocolConfig()).of_item("cold")
    unused = r"because no interaction that the run uses holds it, or it came later; .*protocol.catalogue=all"
    with pytest.raises(RefusedError, match=unused):
        ItemIndex(ids, dataset, ProtocolConfig(catalogue="interacted")).of_item("cold")
    with pytest.raises(RefusedError, match=r"its 2 items are in the catalogue, not in this run, because they"):
        ItemIndex(ids, dataset).of_history(["cold", "cold"])
    with pytest.raises(RefusedError, match=r"no item 'nowhere' in .*; check its spelling"):
        ItemIndex(ids, dataset).of_item("nowhere")
