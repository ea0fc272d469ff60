"""How many times faster than the released programs' form; needs a machine that does nothing else."""

import pytest

from iisan_core.bench.random_work import Size, random_split
from tests.benchmarks.against_released import ranking, steps

pytestmark = pytest.mark.slow

SIZE = Size()


@pytest.fixture(scope="module")
def split():
    return random_split(SIZE)


@pytest.mark.parametrize(("batch_size", "wanted"), [(64, 10), (512, 40)])
def test_a_training_step(split, batch_size, wanted):
    found = steps(SIZE, split, batch_size=batch_size, repeats=5 if batch_size == 64 else 2)
    assert max(found["ratio_float32"], found["ratio_bfloat16"]) >= wanted, found


def test_ranking(split):
    found = ranking(SIZE, split, share=0.2, repeats=5)
    assert found["ratio"] >= 30, found
