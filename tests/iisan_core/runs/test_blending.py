"""A run whose score has all parts: one score in ranks, recommendations and reasons, and weights by validation."""

from __future__ import annotations

import shutil
from collections import deque
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray

from iisan_core.config.schema import RunConfig
from iisan_core.data.dataset import Dataset
from iisan_core.data.split import Split, split
from iisan_core.errors import RefusedError
from iisan_core.evaluation.blend import Blend
from iisan_core.evaluation.ranks import ranks_of
from iisan_core.model.inference import user_table
from iisan_core.model.saving import load_model
from iisan_core.runs.blending import apply_blend, counted, read_blend, read_together
from iisan_core.runs.results import rank_anew, read_vectors
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import resume, train
from iisan_core.serving.recommender import Recommender
from tests.tiny_world import TinyWorld

pytestmark = pytest.mark.usefixtures("one_thread")

ALL = {"frozen": True, "frozen_width": 6, "frozen_ages": 2, "together": True}


def trained(config: RunConfig, path: Path) -> RunFolder:
    deque(train(config, path, command="iisan train"), maxlen=0)
    return RunFolder.open(path)


@pytest.fixture(scope="module")
def config(world: TinyWorld) -> RunConfig:
    return world.config(model=ALL, training={"epochs": 2})


@pytest.fixture(scope="module")
def run(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(config, tmp_path_factory.mktemp("blended") / "run")


@pytest.fixture(scope="module")
def kept(config: RunConfig) -> Split:
    return split(Dataset.load(config.dataset), config.protocol)


def slow_scores(run: RunFolder, histories: NDArray[np.int64]) -> NDArray[np.float64]:
    """[B, N + 1]: every part on its own, in float64, item-kNN's rows added one by one."""
    blend, table = read_blend(run), read_vectors(run)[0]
    model = load_model(run.best)
    users = user_table(model, table, torch.from_numpy(histories)).double()
    E = model.shape.config.embedding
    scores = (users[:, :E] @ table[:, :E].double().T).numpy()
    for name, columns in model.frozen_columns.items():
        scores += blend.frozen[name] * (users[:, columns] @ table[:, columns].double().T).numpy()
    together = read_together(run, blend, item_ids=pl.read_parquet(run.item_ids)["item_id"].to_list())
    if together is not None:
        similar = together.similar.toarray()
        for user, history in enumerate(histories):
            for age, item in enumerate(history[::-1][: together.newest]):
                scores[user] += blend.together * together.recency**age * similar[item]
    return scores


def test_weights_are_written_down(run: RunFolder) -> None:
    blend = read_blend(run)
    assert blend == Blend.model_validate(run.results()["blend"])
    assert blend.frozen.keys() == {"image", "text"} and blend.together > 0


@pytest.mark.parametrize("subset", ["valid", "test"])
def test_ranks_are_those_of_the_slow_scores(run: RunFolder, kept: Split, subset: str) -> None:
    history, targets = kept.history(subset), kept.targets(subset)
    scores = slow_scores(run, history.newest(kept.max_history))
    scores[:, 0] = -np.inf
    for user, row in enumerate(history.newest()):
        scores[user, row] = -np.inf
    own = scores[np.arange(len(targets)), targets]
    clear = np.abs(scores - own[:, None]) > 1e-5  # of what rounding could turn round, nothing is asked
    assert clear.sum(axis=1).min() == scores.shape[1] - 1, "no two scores lie so close in this small world"
    assert pl.read_parquet(run.ranks)[subset].to_list() == (scores >= own[:, None]).sum(axis=1).tolist()
    assert rank_anew(run)[subset].to_list() == pl.read_parquet(run.ranks)[subset].to_list()


def test_recommendations_have_the_slow_scores(run: RunFolder, kept: Split) -> None:
    recommender = Recommender.load(run.path)
    histories = [["i01"], ["i02", "i14", "i20"], ["i03", "i09", "i15", "i21", "i27"]]
    numbered = np.array([[0] * (4 - len(h[-4:])) + [kept.item_ids.index(i) + 1 for i in h[-4:]] for h in histories])
    scores = slow_scores(run, numbered)
    for found, row, history in zip(
        recommender.recommend(histories=histories, k=60, exclude_seen=False), scores, histories, strict=True
    ):
        by_id = dict(zip(kept.item_ids, row[1:], strict=True))
        assert {item.item_id: item.score for item in found} == pytest.approx(by_id, abs=1e-5)
        some = kept.item_ids[5:25]
        (chosen,) = recommender.recommend(histories=[history], k=20, candidates=some, exclude_seen=False)
        assert {item.item_id: item.score for item in chosen} == pytest.approx({i: by_id[i] for i in some}, abs=1e-5)


def test_parts_sum_to_the_score_and_each_is_named(run: RunFolder) -> None:
    recommender = Recommender.load(run.path)
    (answer,) = recommender.recommend(users=["u03"], k=3)
    for item in answer:
        why = recommender.explain(item.item_id, user="u03")
        names = ["image", "text", "inter", "frozen image", "frozen text", "together", "bias"]
        assert [part.name for part in why.parts] == names
        assert sum(part.score for part in why.parts) == pytest.approx(why.score, abs=1e-5)
        assert why.score == pytest.approx(item.score, abs=1e-5)
    history = recommender.history("u03")
    without_oldest = recommender.explain(item.item_id, history=history[1:]).score
    if len(history) <= 4:
        assert why.influences[0].score == pytest.approx(why.score - without_oldest, abs=1e-5)


def test_catalogue_means_of_parts_are_means(run: RunFolder) -> None:
    recommender = Recommender.load(run.path)
    every = [recommender.explain(item_id, history=["i02", "i08"]).parts for item_id in recommender.item_ids]
    for place, part in enumerate(every[0]):
        mean = np.mean([parts[place].score for parts in every])
        assert part.catalogue_mean == pytest.approx(mean, abs=1e-6), part.name


def test_suited_users_are_ranked_by_the_whole_score(run: RunFolder) -> None:
    recommender = Recommender.load(run.path)
    for found in recommender.suited_users("i10", k=5):
        (answer,) = recommender.recommend(users=[found.user_id], k=60)
        place = [item.item_id for item in answer].index("i10")
        assert found.rank == place + 1
        assert found.score == pytest.approx(answer[place].score, abs=1e-5)


def test_targets_of_validation_and_test_change_nothing_that_is_counted(config: RunConfig, kept: Split) -> None:
    log = kept.log.newest()
    other = log.copy()
    other[:, -2:] = np.random.default_rng(0).integers(1, len(kept.item_ids) + 1, size=other[:, -2:].shape)
    assert (other[:, -2:] != log[:, -2:]).mean() > 0.9
    before, after = (
        counted(config, Split.of_sequences(rows, item_ids=kept.item_ids, max_history=kept.max_history))
        for rows in (log, other)
    )
    assert before is not None and after is not None
    assert before.similar.nnz > 0 and (before.similar != after.similar).nnz == 0


def test_switched_off_the_score_is_what_was_learned(config: RunConfig, world: TinyWorld, tmp_path: Path) -> None:
    """Counting never reaches the learning, and `blend: off` leaves the frozen path as it was learned."""
    training = config.training.model_copy(update={"blend": "off"})
    off = trained(config.model_copy(update={"training": training}), tmp_path / "off")
    plain = trained(
        world.config(model=ALL | {"together": False}, training={"epochs": 2, "blend": "off"}), tmp_path / "p"
    )
    assert not off.blend.exists() and not off.together.exists() and "blend" not in off.results()
    assert pl.read_parquet(off.ranks).equals(pl.read_parquet(plain.ranks))


def test_the_same_seed_gives_the_same_run_and_a_resumed_end_too(
    run: RunFolder, config: RunConfig, tmp_path: Path
) -> None:
    again = trained(config, tmp_path / "again")
    assert read_blend(again) == read_blend(run)
    assert pl.read_parquet(again.ranks).equals(pl.read_parquet(run.ranks))
    deque(resume(again), maxlen=0)
    assert read_blend(again) == read_blend(run), "weights are chosen for what was learned, not for what was chosen"


def test_weights_are_at_least_as_good_on_validation_as_none(run: RunFolder, kept: Split) -> None:
    plain = ranks_of(load_model(run.best), read_vectors(run)[0], kept, "valid")
    chosen = pl.read_parquet(run.ranks)["valid"].to_numpy()
    assert (chosen <= 10).mean() >= (plain <= 10).mean()


def test_a_missing_matrix_is_named(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder.open(shutil.copytree(run.path, tmp_path / "copy"))
    copy.together.unlink()
    with pytest.raises(RefusedError, match=r"together.safetensors holds no similarities of items"):
        Recommender.load(copy.path)


def test_factors_weigh_one_modality_each(run: RunFolder) -> None:
    model = load_model(run.best)
    assert model.frozen is not None
    before = {name: weight.clone() for name, weight in model.frozen.weight.items()}
    apply_blend(model, Blend(frozen={"text": 3.0, "image": 0.0}))
    assert torch.equal(model.frozen.weight["text"], 3 * before["text"])
    assert not model.frozen.weight["image"].any()
