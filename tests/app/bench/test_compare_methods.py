import pytest

from app.bench import methods as bench_methods
from app.bench.methods import METHODS, MethodTask, RealTask, compare_methods, measure
from iisan_core import RunConfig
from iisan_core.errors import IisanError, RefusedError
from iisan_core.finetuning.train import open_setup, train_setup
from iisan_core.training.inputs import RunInputs

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("method", ["uncached", "lora", "adapter"])
def test_training_inside_the_backbones_learns(shop, method):
    outcome = train_setup(open_setup(shop.config(training={"epochs": 3}), method))
    assert 1 <= outcome.best_epoch <= outcome.epochs == 3
    assert outcome.seconds_per_epoch > 0
    assert outcome.quality["HR@10"] > 2 * 100 * 10 / 60, "twice what chance finds among sixty items"


def test_uncached_learns_what_cached_learns(shop):
    config = shop.config(model={"dropout": 0.0, "modality_dropout": 0.0}, training={"epochs": 2})
    cached, uncached = (train_setup(open_setup(config, method)) for method in ("cached", "uncached"))
    assert uncached.quality["HR@10"] == pytest.approx(cached.quality["HR@10"], abs=5)


@pytest.mark.long
def test_a_method_trained_in_its_own_process_and_the_table(shop):
    table = compare_methods(shop.config(training={"epochs": 1}), methods=["cached", "lora"])
    assert table["method"].to_list() == ["cached", "lora"], "cheapest epoch first"
    assert table["dataset"].unique().to_list() == [shop.dataset.folder.name]
    assert (table["seconds_per_epoch"] > 0).all() and not table["extrapolated"].any()
    assert table["test_HR@10"].is_between(0, 100).all()
    assert (table["peak_memory_bytes"] > 0).all()
    assert table["tpme"].is_between(0, 1).all()


def test_every_method_is_measured_on_the_same_batches(shop, monkeypatch):
    monkeypatch.setattr(bench_methods, "_in_own_process", measure)
    table = compare_methods(shop.config(), train=False, steps=2)
    assert set(table["method"]) == set(METHODS)
    assert table["distinct_items"].n_unique() == 1
    assert table["extrapolated"].all()
    steps = -(-len(RunInputs.open(shop.config()).split.windows) // 16)
    assert table["seconds_per_epoch"].to_list() == [pytest.approx(step * steps) for step in table["seconds_per_step"]]


def test_what_a_process_refuses_is_refused_here(shop, tmp_path):
    elsewhere = RunConfig.model_validate(shop.config().model_dump() | {"dataset": tmp_path / "nowhere"})
    with pytest.raises(RefusedError, match=r"method cached: .*nowhere"):
        compare_methods(elsewhere, methods=["cached"])


def test_a_process_that_dies_says_why(shop, monkeypatch):
    monkeypatch.setattr(bench_methods.sys, "executable", "/bin/false")
    with pytest.raises(IisanError, match="method full failed with exit code 1"):
        compare_methods(shop.config(), methods=["full"])


def test_an_unknown_method_is_refused(shop):
    with pytest.raises(RefusedError, match="no methods prefix; choose of cached"):
        compare_methods(shop.config(), methods=["prefix"])


def test_tasks_travel_as_json(shop):
    task = MethodTask(method="lora", work=RealTask(config=shop.config()), train=True)
    assert MethodTask.model_validate_json(task.model_dump_json()) == task
