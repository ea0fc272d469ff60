"""The search of weights on functions whose best is known; what it asks of a model is tested with runs."""

from __future__ import annotations

import pytest

from iisan_core.evaluation.blend import STEPS, climb


def peak(**at: float):
    """Best at these weights, worse with every factor away from them; the second figure breaks no tie here."""

    def quality(weights):
        away = sum(max(weights[n] / best, best / weights[n]) if weights[n] else 1e6 for n, best in at.items())
        return -away, 0.0

    return quality


@pytest.mark.parametrize("best", [{"text": 3.0, "together": 40.0}, {"text": 0.2, "together": 900.0}, {"together": 7.0}])
def test_each_weight_ends_within_the_finest_step_of_its_best(best) -> None:
    found = climb(peak(**best), {name: 1.0 if name == "text" else 100.0 for name in best})
    for name, weight in best.items():
        assert max(found[name] / weight, weight / found[name]) <= STEPS[-1]


def test_a_part_that_does_harm_or_nothing_is_left_out() -> None:
    assert climb(lambda w: (-w["image"], 0.0), {"image": 1.0})["image"] == 0
    assert climb(lambda w: (1.0, 1.0), {"image": 1.0}) == {"image": 0.0}


def test_the_second_figure_decides_between_equals() -> None:
    found = climb(lambda w: (1.0, -abs(w["text"] - 2.0)), {"text": 1.0})
    assert found == {"text": 2.0}


def test_nothing_to_weigh_is_nothing() -> None:
    assert climb(lambda w: (1.0, 1.0), {}) == {}
