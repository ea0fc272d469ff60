"""The parts of a score, and the influence of a history's items, for every kind of run."""

import shutil

import polars as pl
import pytest
import torch

from iisan_core.cache.manifest import read_manifest
from iisan_core.data.split import split
from iisan_core.errors import RefusedError
from iisan_core.files import write_json
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import train
from iisan_core.serving.recommender import Recommender

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = {
    "both": (("image", "text"), {}, {}, ["image", "text", "inter", "bias"]),
    "bfloat16": (("image", "text"), {}, {"precision": "bfloat16"}, ["image", "text", "inter", "bias"]),
    "intra only": (("image", "text"), {"inter": False}, {}, ["image", "text", "bias"]),
    "inter only": (("image", "text"), {"intra": False}, {}, ["inter", "bias"]),
    "text only": (("text",), {}, {}, ["text", "bias"]),
    "image only": (("image",), {"head": "stacked"}, {}, ["image", "bias"]),
    "three": (("image", "text", "caption"), {}, {}, ["caption", "image", "text", "inter", "bias"]),
    "linear": (("image", "text"), {"adapter": "linear"}, {}, ["image", "text", "bias"]),
    "mlp": (("text",), {"adapter": "mlp"}, {}, ["text", "bias"]),
    "ids beside them": (("image", "text"), {"ids": True}, {}, ["image", "text", "ids", "inter", "bias"]),
    "ids alone": ((), {"ids": True}, {}, ["ids", "bias"]),
}


def captions(text, folder):
    """The states of the titles once more, as those of a second text."""
    shutil.copytree(text, folder)
    manifest = read_manifest(text).model_copy(update={"modality": "caption", "kind": "text"})
    write_json(folder / "manifest.json", manifest.model_dump(mode="json"))
    return folder


@pytest.fixture(scope="module", params=KINDS)
def run(request, world, tmp_path_factory):
    """A short run of each kind, and the names of its parts."""
    modalities, model, training, names = KINDS[request.param]
    config = world.config(model=model, training={"epochs": 1} | training)
    folder = tmp_path_factory.mktemp("kinds")
    caches = world.caches | {"caption": captions(world.caches["text"], folder / "captions")}
    config = config.model_copy(update={"caches": {name: caches[name] for name in modalities}})
    path = folder / "run"
    for _ in train(config, path, command="iisan train"):
        pass
    return RunFolder.open(path), names


@pytest.fixture(scope="module")
def recommender(finished):
    return Recommender.load(finished.path)


def scores_of(recommender, **asked):
    (answer,) = recommender.recommend(k=len(recommender.item_ids), exclude_seen=False, **asked)
    return {item.item_id: item.score for item in answer}


def test_recommendations_of_every_kind_rank_as_the_evaluation_does(run, world):
    recommender, ranks = Recommender.load(run[0].path), pl.read_parquet(run[0].ranks)
    kept = split(world.dataset, world.config().protocol)
    histories = [[kept.item_ids[n - 1] for n in row if n] for row in kept.history("test").newest().tolist()]
    answers = recommender.recommend(histories=histories, k=len(kept.item_ids))
    targets = [kept.item_ids[n - 1] for n in kept.targets("test")]
    scores = [{item.item_id: item.score for item in answer} for answer in answers]
    # Items without a picture are all the same to a run of pictures: the evaluation places a target last among equals.
    places = [sum(score >= all_[t] for score in all_.values()) for all_, t in zip(scores, targets, strict=True)]
    assert places == ranks["test"].to_list()


def test_parts_of_every_kind_sum_to_the_score(run):
    recommender = Recommender.load(run[0].path)
    for user in ("u00", "u17", "u42"):
        scores = scores_of(recommender, users=[user])
        for item_id in ("i00", "i05", "i31"):
            why = recommender.explain(item_id, user=user)
            assert [part.name for part in why.parts] == run[1]
            assert sum(part.score for part in why.parts) == pytest.approx(why.score, abs=1e-5)
            assert why.score == pytest.approx(scores[item_id], abs=1e-5)


def test_parts_above_the_mean_are_the_score_above_the_mean(recommender):
    scores = scores_of(recommender, users=["u03"])
    why = recommender.explain("i09", user="u03")
    above = scores["i09"] - sum(scores.values()) / len(scores)
    assert sum(part.above_mean for part in why.parts) == pytest.approx(above, abs=1e-5)
    assert why.parts[-1].above_mean == 0
    by_name = {part.name: part for part in why.parts}
    everybody = [recommender.explain(item_id, user="u03").parts[0].score for item_id in recommender.item_ids]
    assert by_name["image"].catalogue_mean == pytest.approx(sum(everybody) / len(everybody), abs=1e-6)


@pytest.mark.parametrize("history", [["i01", "i08"], ["i30", "i01", "i07", "i13", "i19", "i30"], ["i02"] * 3])
def test_influence_is_how_far_the_score_falls_without_the_item(recommender, history):
    why = recommender.explain("i09", history=history)
    newest = range(max(0, len(history) - 4), len(history))
    assert [influence.item_id for influence in why.influences] == [history[n] for n in newest]
    without = [history[:n] + history[n + 1 :] for n in newest]
    falls = [
        scores_of(recommender, histories=[history])["i09"] - scores_of(recommender, histories=[h])["i09"]
        for h in without
    ]
    assert [influence.score for influence in why.influences] == pytest.approx(falls, abs=1e-5)


def test_a_user_is_explained_by_the_known_history(recommender):
    assert recommender.explain("i09", user="u03") == recommender.explain("i09", history=recommender.history("u03"))


def test_the_only_item_of_a_history_has_no_influence_to_speak_of(recommender):
    assert recommender.explain("i09", history=["i01"]).influences == []


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"item_id": "x", "user": "u03"}, r"no item 'x' in .*; check its spelling"),
        ({"item_id": "i01", "user": "nobody"}, r"no user 'nobody' in "),
        ({"item_id": "i01", "history": ["i02", "x"]}, r"no item 'x' in "),
        ({"item_id": "i01", "history": []}, "a history without any ranked item says nothing"),
        ({"item_id": "i01"}, "either a user or a history, exactly one of them"),
        ({"item_id": "i01", "user": "u03", "history": ["i02"]}, "either a user or a history, exactly one of them"),
    ],
)
def test_questions_that_cannot_be_explained_are_refused(recommender, question, message):
    with pytest.raises(RefusedError, match=message):
        recommender.explain(**question)


def test_a_run_without_parts_recommends_and_does_not_explain(finished, tmp_path):
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "run"))
    run.item_parts.unlink()
    old = Recommender.load(run.path)
    assert len(old.recommend(users=["u03"], k=3)[0]) == 3
    with pytest.raises(RefusedError, match=r"no parts of the item vectors at .*parts.safetensors: the run was trained"):
        old.explain("i09", user="u03")


def test_the_split_is_of_the_vectors_kept(recommender):
    parts = recommender._explainer.parts
    total = torch.stack(list(parts.towers.values())).sum(dim=0)[1:] + parts.bias
    torch.testing.assert_close(total, recommender._table[1:], rtol=1e-6, atol=1e-6)
