"""Every way to encode items, from training to reasons: what holds for one holds for all."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from iisan_core.experiments.leaderboard import leaderboard
from iisan_core.model.inference import item_table
from iisan_core.model.saving import load_model
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import resume, train
from iisan_core.serving.recommender import Recommender
from iisan_core.training.inputs import RunInputs

pytestmark = pytest.mark.usefixtures("one_thread")

VARIANTS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "ids": ([], {"ids": True}),
    "text, linear": (["text"], {"adapter": "linear"}),
    "image + text, mlp": (["image", "text"], {"adapter": "mlp", "standardize": True}),
    "image + text + inter + ids": (["image", "text"], {"ids": True}),
}


@pytest.fixture(scope="module", params=VARIANTS)
def run(request, world, tmp_path_factory) -> RunFolder:
    modalities, model = VARIANTS[request.param]
    config = world.config(model=model)
    config = config.model_copy(update={"caches": {m: world.caches[m] for m in modalities}})
    path = tmp_path_factory.mktemp("variants") / "run"
    for _ in train(config, path, command="iisan train"):
        pass
    return RunFolder.open(path)


def test_it_learns_and_says_what_it_is(run, world):
    row = leaderboard([run]).row(0, named=True)
    assert row["towers"] in VARIANTS
    losses = [event["loss"] for event in run.events() if event["event"] == "epoch"]
    assert losses[-1] < losses[0]
    if run.config().caches:  # eighty users are too few to learn sixty items from nothing
        guessing = 100 * 10 / world.dataset.items.height
        assert row["valid_HR@10"] > 2 * guessing


def test_the_vectors_are_those_of_the_saved_model(run):
    model = load_model(run.best)
    table = item_table(model, RunInputs.open(run.config()).states(), precision="float32")
    assert torch.equal(table, load_file(run.item_vectors)["items"])


def test_it_recommends_similar_items_and_reasons(run):
    recommender = Recommender.load(run.path)
    ((best, *_),) = recommender.recommend(users=["u01"], k=3)
    assert best.item_id not in recommender.history("u01")
    assert len(recommender.similar_items("i03", k=5)) == 5
    why = recommender.explain(best.item_id, user="u01")
    assert why.score == pytest.approx(best.score, rel=1e-4)
    assert sum(part.score for part in why.parts) == pytest.approx(why.score, abs=1e-5)
    names = run.config().recommender.split(",")[0].split(" + ")
    assert [part.name for part in why.parts] == [*(n for n in names if n not in ("inter", "ids")),
                                                 *(n for n in ("ids", "inter") if n in names), "bias"]  # fmt: skip


def test_a_stopped_run_goes_on_as_if_nothing_had_been(run, tmp_path):
    events = train(run.config(), tmp_path / "run", command="iisan train")
    broken_off = RunFolder(tmp_path / "run")
    for event in events:
        if getattr(event, "epoch", 0) == 3:
            events.close()
            break
    for _ in resume(broken_off):
        pass
    assert broken_off.results()["quality"] == run.results()["quality"]
    assert pl.read_parquet(broken_off.ranks).equals(pl.read_parquet(run.ranks))
