import pytest
import torch

from app.bench import measure as rates
from app.bench.extract import bench_extract
from app.bench.measure import bandwidth, floor, matrix_rate
from app.bench.random_work import BackboneSizes, Size
from app.bench.serving import bench_rank
from app.bench.step import bench_step
from iisan_core.config.schema import ModelConfig, TrainingConfig

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SMALL = Size(items=50, users=40, layers=2, text_width=16, image_width=16, max_history=4)
MODEL = ModelConfig(bottleneck=4, embedding=8)
TRAINING = TrainingConfig(batch_size=8, device="cpu")


@pytest.fixture(autouse=True)
def small_machine(monkeypatch):
    monkeypatch.setattr(rates, "SIDE", {"cpu": 64})
    monkeypatch.setattr(rates, "COPIED", {"cpu": 2**16})
    yield
    matrix_rate.cache_clear()
    bandwidth.cache_clear()


def test_the_floor_is_the_longer_of_products_and_moves():
    rate, speed = matrix_rate(CPU, "float32"), bandwidth(CPU)
    by_products = floor(2.0, operations=rate, nbytes=speed / 2, device=CPU)
    assert by_products["floor_s"] == pytest.approx(1) and by_products["fraction_reached"] == pytest.approx(0.5)
    assert floor(4.0, operations=0, nbytes=2 * speed, device=CPU)["floor_s"] == pytest.approx(2)


def test_a_step_counts_its_products():
    found = bench_step(SMALL, MODEL, TRAINING, repeats=2, warmup=1)
    C, blocks, D, r, E = found["distinct_items"], 6, 16, 4, 8
    towers = C * blocks * 2 * D * r * 2 * 3 - C * 3 * 2 * D * r  # the first blocks' inputs need no gradient
    assert found["operations"] > 0.8 * towers
    assert found["operations"] < 3 * (towers + C * 3 * 2 * D * E * 3 + 8 * 4 * 2 * 12 * E * E * 2 * 3)
    assert found["bytes_moved"] > 9 * 4 * found["trainable_parameters"]
    assert found["fraction_reached"] > 0


def test_ranking_says_its_floor():
    found = bench_rank(SMALL, repeats=1, device="cpu")
    assert found["operations"] == 2 * 40 * 50 * 64
    assert found["floor_s"] > 0


@pytest.mark.parametrize("modality", ["text", "image"])
def test_extraction_is_measured_against_the_bare_backbone(modality):
    sizes = BackboneSizes(text_layers=2, text_width=32, image_layers=2, image_width=32, image_size=32)
    found = bench_extract(modality, sizes, items=12, batch_size=4, device="cpu")
    assert found["items_per_s"] == pytest.approx(12 / found["extraction_s"])
    assert found["share_of_bare_throughput"] == pytest.approx(found["bare_forward_s"] / found["extraction_s"])
    assert (found["layers"], found["width"]) == (2, 32)
