"""What a study will take, before it starts."""

from __future__ import annotations

from pathlib import Path

from app.planning.study_cost import FINALISTS, Earlier, earlier_of, search_cost, study_cost
from iisan_core.config.schema import BaselineConfig, RunConfig
from iisan_core.experiments.study import Row, Study

BASE = RunConfig(dataset=Path("/w/datasets/shop"), caches={"text": Path("/w/caches/shop/text")})
COUNTED = RunConfig(dataset=Path("/w/datasets/shop"), baseline=BaselineConfig(kind="popular"))
EARLIER = [Earlier(1.0, 5), Earlier(3.0, 9), Earlier(2.0, 7)]
EPOCHS = BASE.training.epochs


def other(embedding: int) -> RunConfig:
    return BASE.model_copy(update={"model": BASE.model.model_copy(update={"embedding": embedding})})


def test_every_configuration_is_trained_once_per_seed_and_a_counted_one_once() -> None:
    rows = (Row("one", BASE), Row("same", BASE), Row("wider", other(256)), Row("popular", COUNTED))
    cost = study_cost(Study("x", "?", rows), range(3), EARLIER)
    assert (cost.configurations, cost.trainings) == (3, 2 * 3 + 1)
    assert cost.seconds == 2 * 3 * EPOCHS * 2.0
    assert (cost.memory_bytes, cost.measured_on, cost.uncached) == (9, 3, 0)


def test_without_an_earlier_run_nobody_knows() -> None:
    cost = study_cost(Study("x", "?", (Row("one", BASE),)), range(2), [])
    assert (cost.trainings, cost.seconds, cost.memory_bytes, cost.measured_on) == (2, None, None, 0)


def test_rows_without_a_cache_are_said() -> None:
    rows = (Row("cached", BASE), Row("uncached", BASE, uncached=True))
    assert study_cost(Study("x", "?", rows), range(2), EARLIER).uncached == 2


def test_a_search_ends_at_its_first_limit() -> None:
    finals = FINALISTS * 3
    free = search_cost(BASE, 30, range(3), EARLIER, minutes=None)
    assert (free.trainings, free.seconds) == (30 + finals, 2.0 * EPOCHS * (30 + finals))
    assert search_cost(BASE, 30, range(3), EARLIER, minutes=0.5).seconds == 30 + 2.0 * EPOCHS * finals
    assert search_cost(BASE, 1, range(3), EARLIER, minutes=10**6).seconds == 2.0 * EPOCHS * (1 + finals)
    assert search_cost(BASE, 30, range(3), [], minutes=5).seconds is None


def test_results_that_lack_a_figure_say_nothing() -> None:
    whole = {"efficiency": {"seconds_per_epoch": 2.0, "epochs": 5, "peak_memory_bytes": 100}}
    assert earlier_of([whole, {}, {"efficiency": {"seconds_per_epoch": 0.0, "epochs": 1}}]) == [Earlier(2.0, 100)]
