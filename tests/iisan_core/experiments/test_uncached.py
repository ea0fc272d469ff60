"""Rows of a study that are trained without a cache."""

import json
import shutil
from pathlib import Path

import pytest

from iisan_core.cache.manifest import read_manifest
from iisan_core.errors import RefusedError
from iisan_core.experiments.run_study import run_study
from iisan_core.experiments.study import Row, Study
from iisan_core.experiments.tables import read_table
from iisan_core.experiments.uncached import what_is_left_uncached
from iisan_core.files import write_json
from iisan_core.finetuning.train import open_setup
from iisan_core.training.events import EpochEnded

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def study(shop) -> Study:
    config = shop.config(training={"epochs": 1}, model={"dropout": 0.0, "modality_dropout": 0.0})
    return Study("cache", "What does the cache cost?", (Row("cached", config), Row("uncached", config, uncached=True)))


def test_cached_and_uncached_stand_side_by_side(study: Study, tmp_path: Path) -> None:
    records = list(run_study(study, tmp_path, seeds=(0, 1)))
    ended = [record.run for record in records if isinstance(record.event, EpochEnded)]
    assert ended == ["cached-seed0", "uncached-seed0", "cached-seed1", "uncached-seed1"], "one seed of each first"
    table = read_table(tmp_path)
    assert table["row"].to_list() == ["cached", "uncached"]
    cached, uncached = table.iter_rows(named=True)
    for subset in ("valid", "test"):
        assert uncached[f"{subset}_HR@10"] == pytest.approx(cached[f"{subset}_HR@10"], abs=5)
    assert uncached["test_HR@10_deviation"] is not None
    assert (uncached["runs"], uncached["best_epoch"]) == (2, 1)
    assert uncached["trainable_parameters"] == cached["trainable_parameters"]
    assert uncached["seconds_per_epoch"] > cached["seconds_per_epoch"], "backbones run in every step"


def test_what_is_done_is_not_done_again_and_never_taken_for_something_else(study: Study, tmp_path: Path) -> None:
    list(run_study(study, tmp_path, seeds=(0,)))
    table = read_table(tmp_path)
    assert [record.event for record in run_study(study, tmp_path, seeds=(0,))] == [None, None]
    assert read_table(tmp_path).equals(table)
    config = study.rows[1].config
    other = config.model_copy(update={"model": config.model.model_copy(update={"inter": False})})
    with pytest.raises(RefusedError, match=r"uncached-seed0.json was trained with another .*; remove that file"):
        list(what_is_left_uncached(other, tmp_path / "uncached-seed0.json"))


def _elsewhere(study: Study, shop, tmp_path: Path, **changes: object) -> Study:
    """The same study, whose text cache names another backbone."""
    folder = tmp_path / "text"
    shutil.copytree(shop.caches["text"], folder)
    manifest = read_manifest(folder).model_copy(update=changes)
    write_json(folder / "manifest.json", manifest.model_dump(mode="json"))
    config = study.rows[0].config
    config = config.model_copy(update={"caches": config.caches | {"text": folder}})
    return Study(study.name, study.question, (Row("cached", config), Row("uncached", config, uncached=True)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"backbone": "hub/absent"}, "it runs hub/absent, which is not on this machine, or not all of it"),
        ({"revision": "0" * 40}, "which is another here than the one that the cache was made with"),
    ],
)
def test_without_its_backbone_a_row_is_left_out_and_the_reason_said_first(
    study: Study, shop, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    first, *rest = run_study(_elsewhere(study, shop, tmp_path, **changes), tmp_path / "study", seeds=(0,))
    assert (first.run, first.number, first.total, first.event) == ("uncached", 0, 1, None)
    assert reason in first.left_out
    assert {record.run for record in rest} == {"cached-seed0"}
    assert read_table(tmp_path / "study")["row"].to_list() == ["cached"]
    assert json.loads((tmp_path / "study" / "study.json").read_text())["left_out"] == {"uncached": first.left_out}


def test_uncached_reads_the_layers_that_were_chosen_and_has_the_same_stand_ins(shop) -> None:
    config = shop.config(model={"layers": {"text": "-1", "image": "0,2"}, "modality_dropout": 0.2})
    cached, uncached = (open_setup(config, method) for method in ("cached", "uncached"))
    assert uncached.model.items.head.kept == {"image": [0, 1], "text": [0]}
    assert [tower.layers for tower in uncached.model.items.backbones.values()] == [[0, 2], [3]]
    assert uncached.model.items.head.stand_ins.keys() == cached.model.items.stand_ins.keys() == {"image", "text"}
