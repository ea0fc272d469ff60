import pytest

from app.bench.methods import METHODS, MethodTask, RandomTask, measure, methods_table
from app.bench.random_work import BackboneSizes
from iisan_core.config.schema import TrainingConfig

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = RandomTask(
    items=60,
    users=30,
    backbones=BackboneSizes(
        text_layers=2, text_width=32, tokens=6, image_layers=2, image_width=32, image_size=32, patch=16
    ),
    training=TrainingConfig(batch_size=4, device="cpu"),
)


@pytest.fixture(scope="module")
def figures():
    return {m: measure(MethodTask(method=m, work=SMALL, steps=2)) for m in METHODS}


def test_random_work_of_every_method(figures):
    for method, found in figures.items():
        assert found["method"] == method
        assert found["steps_per_epoch"] == -(-30 // 4)
        assert found["seconds_per_epoch"] == pytest.approx(found["seconds_per_step"] * found["steps_per_epoch"])
        assert found["extrapolated"]
        assert found["memory_of"] == "process, beyond its imports"
    assert figures["cached"]["trainable_parameters"] == figures["uncached"]["trainable_parameters"]
    counts = [figures[m]["trainable_parameters"] for m in METHODS]
    assert max(counts) == figures["full"]["trainable_parameters"]
    assert len({found["distinct_items"] for found in figures.values()}) == 1


def test_the_table_names_the_cheapest_first_and_has_tpme(figures):
    table = methods_table(list(figures.values()))
    assert table["seconds_per_epoch"].is_sorted()
    assert table["tpme"].is_between(0, 1).all()
    assert methods_table([figures["lora"]])["tpme"].to_list() == [None]
