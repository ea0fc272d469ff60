"""Running a study: every row trained, nothing twice, one table."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from iisan_core.config.schema import CorruptionConfig
from iisan_core.errors import RefusedError
from iisan_core.experiments.designs import ablation
from iisan_core.experiments.run_study import run_study
from iisan_core.experiments.study import Row, Study
from iisan_core.experiments.study_table import qualities_under
from iisan_core.experiments.tables import read_table
from iisan_core.runs.run_folder import RunFolder
from iisan_core.training.events import EpochEnded, TrainingEnded
from iisan_core.training.inputs import RunInputs

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (0, 1)
DROPPED = CorruptionConfig(kind="dropped", share=1.0)


def run(study: Study, folder: Path, *, seeds=SEEDS):
    return list(run_study(study, folder, seeds=seeds))


@pytest.fixture
def study(world) -> Study:
    config = world.config(training={"epochs": 1}, model={"modality_dropout": 0.1})
    text = config.model_copy(update={"caches": {"text": config.caches["text"]}})
    rows = (
        Row("both", config, {"share": 0.0}),
        Row("text", text, {"share": None}),
        Row("both, no text", config, {"share": 1.0}, {"text": DROPPED}),
    )
    return Study("a study", "Which?", rows)


def test_a_study_trains_what_is_missing_and_ends_in_a_table(study: Study, tmp_path: Path) -> None:
    records = run(study, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("[!.]*-seed*")) == [
        f"{name}-seed{seed}" for name in ("both", "text") for seed in SEEDS
    ]
    assert [r.number for r in records if isinstance(r.event, TrainingEnded)] == [1, 2, 3, 4]
    table = read_table(tmp_path)
    assert table["row"].to_list() == ["both", "text", "both, no text"]
    assert table["share"].to_list() == [0.0, None, 1.0]
    assert {"table.csv", "table.md", "study.json"} <= {path.name for path in tmp_path.iterdir()}
    both = [RunFolder.open(tmp_path / f"both-seed{seed}") for seed in SEEDS]
    values = [run.results()["quality"]["test"]["HR@10"] for run in both]
    assert table["test_HR@10"][0] == pytest.approx(sum(values) / 2)
    assert table["test_HR@10_deviation"][0] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    damaged = [qualities_under(run, [{"text": DROPPED}])[0]["test"]["HR@10"] for run in both]
    assert table["test_HR@10"][2] == pytest.approx(sum(damaged) / 2)


def test_a_second_call_trains_nothing_and_gives_the_same_table(study: Study, tmp_path: Path) -> None:
    run(study, tmp_path, seeds=(0,))
    table = read_table(tmp_path)
    assert [record.event for record in run(study, tmp_path, seeds=(0,))] == [None, None]
    assert read_table(tmp_path).equals(table)
    assert table["test_HR@10_deviation"].null_count() == table.height


def test_trainings_in_a_row_that_name_the_same_open_it_once(study: Study, tmp_path: Path, monkeypatch) -> None:
    opened = []
    whole = RunInputs.open
    monkeypatch.setattr(RunInputs, "open", lambda config: opened.append(list(config.caches)) or whole(config))
    both = study.rows[0].config
    other = both.model_copy(update={"training": both.training.model_copy(update={"batch_size": 7})})
    run(replace(study, rows=(study.rows[1], study.rows[0], Row("other", other), study.rows[2])), tmp_path)
    assert opened == [["text"], ["image", "text"]] * len(SEEDS)


def test_a_study_that_was_broken_off_goes_on(study: Study, tmp_path: Path) -> None:
    records = run_study(study, tmp_path, seeds=(0,))
    next(record for record in records if isinstance(record.event, EpochEnded))
    records.close()
    assert RunFolder.open(tmp_path / "both-seed0").status().state == "stopped"
    assert not (tmp_path / "table.csv").exists()
    run(study, tmp_path, seeds=(0,))
    assert read_table(tmp_path).height == 3


def test_a_run_of_another_configuration_is_not_taken_for_the_studys_own(study: Study, tmp_path: Path) -> None:
    run(study, tmp_path, seeds=(0,))
    other = study.rows[0].config.model_copy(update={"caches": study.rows[1].config.caches})
    changed = replace(study, rows=(Row("both", other),))
    with pytest.raises(RefusedError, match=r"both-seed0 was trained with another configuration .*remove that folder"):
        run(changed, tmp_path, seeds=(0,))


def test_rows_of_one_name_have_folders_of_their_own(world) -> None:
    one, two = (world.config(training={"epochs": epochs}) for epochs in (1, 2))
    study = Study("twice", "?", (Row("Same / name", one), Row("same name", two)))
    assert list(study.trainings()) == ["same-name", "same-name-2"]


def test_an_empty_study_is_refused(study: Study, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="0 rows and 2 seeds"):
        run(replace(study, rows=()), tmp_path)
    with pytest.raises(RefusedError, match="3 rows and 0 seeds"):
        run(study, tmp_path, seeds=())
    with pytest.raises(RefusedError, match=r"no finished study in .*; run it with `iisan study`"):
        read_table(tmp_path)


def test_an_unfinished_study_has_no_table(world, tmp_path: Path) -> None:
    config = world.config(training={"epochs": 1})
    study = ablation(config)
    run(replace(study, rows=study.rows[:1]), tmp_path, seeds=(0,))
    assert isinstance(read_table(tmp_path), pl.DataFrame)
    assert read_table(tmp_path)["row"].to_list() == ["intra + inter"]
