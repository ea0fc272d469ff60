"""The study of baselines: counted, learned and IISAN in one table."""

from __future__ import annotations

from pathlib import Path

import pytest

from iisan_core.errors import RefusedError
from iisan_core.experiments.designs import baselines
from iisan_core.experiments.run_study import run_study
from iisan_core.experiments.study import Study, only
from iisan_core.experiments.tables import read_table

pytestmark = pytest.mark.usefixtures("one_thread")


def recommenders(study: Study) -> dict[str, str]:
    return {row.name: row.config.recommender for row in study.rows}


def test_one_modality(world) -> None:
    assert recommenders(baselines(only(world.config(model={"ids": True}), ["text"]))) == {
        "most popular": "popular",
        "item-kNN": "item-knn",
        "ids (SASRec)": "ids",
        "frozen + linear": "text, linear",
        "frozen + MLP": "text, mlp",
        "IISAN": "text",
        "IISAN + ids": "text + ids",
    }


def test_several_modalities_stand_alone_and_together(world) -> None:
    found = recommenders(baselines(world.config(model={"inter": False})))
    assert list(found)[5:] == ["IISAN, image only", "IISAN, text only", "IISAN, intra only", "IISAN", "IISAN + ids"]
    assert list(found.values())[5:] == [
        "image", "text", "image + text", "image + text + inter", "image + text + inter + ids",
    ]  # fmt: skip


def test_frozen_baselines_read_the_last_layer_alone_unless_layers_were_chosen(world) -> None:
    rows = {row.name: row.config.model for row in baselines(world.config(model={"layers": {"text": "0,1"}})).rows}
    for name in ("frozen + linear", "frozen + MLP"):
        assert rows[name].layers == {"image": "-1", "text": "0,1"}
    assert rows["IISAN"].layers == {"text": "0,1"}


def test_all_rows_share_data_protocol_and_training(world) -> None:
    base = world.config(training={"seed": 3}, protocol={"max_history": 3})
    configs = [row.config for row in baselines(base).rows]
    assert {(config.dataset, config.protocol) for config in configs} == {(base.dataset, base.protocol)}
    assert all(config.training == base.training for config in configs if config.baseline is None)


def test_without_states_there_is_nothing_to_compare(world) -> None:
    config = world.config(model={"ids": True}).model_copy(update={"caches": {}})
    with pytest.raises(RefusedError, match="the baselines study needs caches of at least 1 modalities; there are 0"):
        baselines(config)


def test_it_ends_in_one_table_and_counts_once(world, tmp_path: Path) -> None:
    full = baselines(only(world.config(training={"epochs": 1}), ["text"]))
    study = Study(full.name, full.question, tuple(row for row in full.rows if row.name in ("most popular", "IISAN")))
    list(run_study(study, tmp_path, seeds=range(2)))
    runs = sorted(path.name for path in tmp_path.glob("[!.]*-seed*"))
    assert runs == ["iisan-seed0", "iisan-seed1", "most-popular-seed0"]
    table = read_table(tmp_path)
    assert table["row"].to_list() == ["most popular", "IISAN"]
    assert table["test_HR@10_deviation"].is_null().to_list() == [True, False]
    assert table["seconds_per_epoch"].is_null().to_list() == [True, False]
