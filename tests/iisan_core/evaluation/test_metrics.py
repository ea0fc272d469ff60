import math

import numpy as np
import pytest

from iisan_core.evaluation.metrics import METRICS, hit, ndcg, reciprocal_rank, summary

RANKS = np.array([1, 2, 10, 11, 500])


def test_metrics_are_functions_of_ranks():
    assert hit(RANKS, k=10).tolist() == [1, 1, 1, 0, 0]
    assert ndcg(RANKS, k=10).tolist() == pytest.approx([1, 1 / math.log2(3), 1 / math.log2(11), 0, 0])
    assert reciprocal_rank(RANKS, k=10).tolist() == pytest.approx([1, 1 / 2, 1 / 10, 0, 0])


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_one_at_the_top_and_never_gain_from_a_worse_rank(name):
    values = METRICS[name](np.arange(1, 30), k=20)
    assert values[0] == 1
    assert (np.diff(values) <= 0).all()
    assert values[20:].tolist() == [0] * 9


def test_summary_is_a_mean_over_users_times_100():
    found = summary(RANKS, ks=(2, 10))
    assert found == pytest.approx(
        {
            "HR@2": 100 * 2 / 5,
            "NDCG@2": 100 * (1 + 1 / math.log2(3)) / 5,
            "MRR@2": 100 * (1 + 1 / 2) / 5,
            "HR@10": 100 * 3 / 5,
            "NDCG@10": 100 * (1 + 1 / math.log2(3) + 1 / math.log2(11)) / 5,
            "MRR@10": 100 * (1 + 1 / 2 + 1 / 10) / 5,
        }
    )
