"""Runs blended into one: the sum of their z-scores, measured and recommending like any other run."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray

from iisan_core.data.dataset import Dataset
from iisan_core.data.split import Split, split
from iisan_core.errors import RefusedError
from iisan_core.model.ensemble import load_ensemble
from iisan_core.model.inference import user_table
from iisan_core.model.saving import load_model
from iisan_core.runs.blending import apply_blend, read_blend, read_together
from iisan_core.runs.ensemble import ensemble_config
from iisan_core.runs.results import rank_anew, read_vectors
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import ensure_trained, resume, train
from iisan_core.serving.recommender import Recommender
from tests.tiny_world import TinyWorld

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def members(world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    """Two runs of different widths, one of which has all parts."""
    folder = tmp_path_factory.mktemp("members")
    all_parts = {"frozen": True, "frozen_width": 6, "together": True, "embedding": 4}
    configs = {
        "plain": world.config(training={"epochs": 2}),
        "all": world.config(model=all_parts, training={"epochs": 2, "seed": 1}),
    }
    return [ensure_trained(config, folder / name) for name, config in configs.items()]


@pytest.fixture(scope="module")
def blended(members: list[RunFolder]) -> RunFolder:
    return ensure_trained(ensemble_config([run.path for run in members]), members[0].path.parent / "both")


@pytest.fixture(scope="module")
def kept(members: list[RunFolder]) -> Split:
    config = members[0].config()
    return split(Dataset.load(config.dataset), config.protocol)


def slow_scores(members: list[RunFolder], blended: RunFolder, histories: NDArray[np.int64]) -> NDArray[np.float64]:
    """[B, N + 1]: every member's scores over the catalogue, by their own deviation, weighed and summed."""
    total, chosen = np.zeros((len(histories), 61)), read_blend(blended)
    for member, weight in zip(members, chosen.members, strict=True):
        table = read_vectors(member)[0]
        model = apply_blend(load_model(member.best), read_blend(member))
        scores = (user_table(model, table, torch.from_numpy(histories)) @ table.T).double().numpy()
        total += weight * scores / scores[:, 1:].std(axis=1, keepdims=True)
    together = read_together(blended, chosen, item_ids=pl.read_parquet(blended.item_ids)["item_id"].to_list())
    return total if together is None else total + together.scores(histories).toarray()


@pytest.mark.parametrize("subset", ["valid", "test"])
def test_ranks_are_those_of_summed_z_scores(
    members: list[RunFolder], blended: RunFolder, kept: Split, subset: str
) -> None:
    history, targets = kept.history(subset), kept.targets(subset)
    scores = slow_scores(members, blended, history.newest(kept.max_history))
    scores[:, 0] = -np.inf
    for user, row in enumerate(history.newest()):
        scores[user, row] = -np.inf
    own = scores[np.arange(len(targets)), targets][:, None]
    assert (np.abs(scores - own) > 1e-5).sum(axis=1).min() == 60, "no two scores lie so close in this small world"
    assert pl.read_parquet(blended.ranks)[subset].to_list() == (scores >= own).sum(axis=1).tolist()
    assert rank_anew(blended).equals(pl.read_parquet(blended.ranks))


def test_it_recommends_by_the_same_scores(members: list[RunFolder], blended: RunFolder, kept: Split) -> None:
    recommender = Recommender.load(blended.path)
    (found,) = recommender.recommend(histories=[["i02", "i14", "i20"]], k=60, exclude_seen=False)
    (row,) = slow_scores(
        members, blended, np.array([[0, *(kept.item_ids.index(i) + 1 for i in ("i02", "i14", "i20"))]])
    )
    own_mean = row - row[1:].mean()
    found_mean = np.mean([item.score for item in found])
    centred = {item.item_id: item.score - found_mean for item in found}
    assert centred == pytest.approx(dict(zip(kept.item_ids, own_mean[1:], strict=True)), abs=1e-4)
    assert recommender.modalities == ("image", "text")
    assert len(recommender.similar_items("i02", k=3)) == len(recommender.suited_users("i02", k=3)) == 3


def test_it_is_as_good_on_validation_as_its_members_by_even_weights(
    members: list[RunFolder], blended: RunFolder
) -> None:
    results = blended.results()
    assert results["blend"]["members"][0] == 1 and len(results["blend"]["members"]) == 2
    assert results["efficiency"]["trainable_parameters"] == sum(
        run.results()["efficiency"]["trainable_parameters"] for run in members
    )
    assert blended.config().recommender == "blend of 2"
    assert blended.status().state == "finished"


def test_made_again_it_is_the_same(blended: RunFolder) -> None:
    before = pl.read_parquet(blended.ranks)
    deque(resume(blended), maxlen=0)
    assert pl.read_parquet(blended.ranks).equals(before)


def test_reasons_and_new_items_are_its_members(blended: RunFolder) -> None:
    recommender = Recommender.load(blended.path)
    with pytest.raises(RefusedError, match=r"is a blend of runs, each of which explains its own scores: .*plain"):
        recommender.explain("i02", user="u03")
    with pytest.raises(RefusedError, match="or of several runs; load it from one run"):
        recommender.add_items(pl.DataFrame({"item_id": ["new"], "title": ["x"]}))


def test_what_cannot_be_blended_is_refused(
    world: TinyWorld, members: list[RunFolder], blended: RunFolder, tmp_path: Path
) -> None:
    with pytest.raises(RefusedError, match="a blend takes two runs or more; found 1"):
        ensemble_config([members[0].path])
    with pytest.raises(RefusedError, match="is no trained model"):
        ensemble_config([members[0].path, blended.path])
    other = tmp_path / "other"
    deque(train(world.config(protocol={"max_history": 3}, training={"epochs": 1}), other, command=""), maxlen=0)
    with pytest.raises(RefusedError, match="another dataset or protocol than"):
        ensemble_config([members[0].path, other])


def test_a_broken_ensemble_is_named(blended: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"no ensemble at .*; blend the runs anew"):
        load_ensemble(tmp_path)
    (tmp_path / "ensemble.safetensors").write_bytes(b"nothing")
    with pytest.raises(RefusedError, match="is no safetensors file"):
        load_ensemble(tmp_path)
