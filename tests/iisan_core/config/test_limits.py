"""Absurd settings are refused at their field, with its limit."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from iisan_core.cache.manifest import CacheSettings
from iisan_core.config.schema import RunConfig, parse_yaml, validated
from iisan_core.errors import RefusedError

ABSURD = {
    "training.learning_rate": (1e9, float("nan"), float("inf"), -1.0, 0),
    "training.san_learning_rate": (1e9, float("inf")),
    "training.epochs": (100_000_000, 0, -1, 10**30),
    "training.patience": (10**9,),
    "training.batch_size": (10**9, 0),
    "training.micro_batch": (10**9,),
    "training.negatives": (10**9,),
    "training.warmup_epochs": (1e9, float("nan")),
    "training.clip_norm": (float("inf"), float("nan")),
    "training.weight_decay": (1e9, float("nan")),
    "training.ema": (float("nan"), 1.0),
    "training.seed": (-1, 2**64),
    "training.learning_rates": ({"fusion": 1e9}, {"fusion": float("nan")}),
    "model.bottleneck": (10**9,),
    "model.inter_bottleneck": (10**9,),
    "model.embedding": (10**9,),
    "model.blocks": (10**6,),
    "model.dropout": (float("nan"), 1.0),
    "model.initial_scale": (float("nan"), float("inf")),
    "protocol.max_history": (10**9,),
    "protocol.min_interactions": (10**12,),
    "protocol.valid_from": (float("nan"), float("inf")),
}
CASES = [(place, value) for place, values in ABSURD.items() for value in values]


@pytest.mark.parametrize(("place", "value"), CASES, ids=lambda each: str(each))
def test_an_absurd_setting_is_refused_at_its_field(place: str, value: Any) -> None:
    group, _, name = place.partition(".")
    with pytest.raises(RefusedError, match=rf"{group}\.{name}|{group}: "):
        validated(RunConfig, {"dataset": "d", "caches": {"text": "c"}, group: {name: value}}, where="the settings")


@pytest.mark.parametrize(
    "values", [{"image_size": 10**6}, {"max_tokens": 10**9}, {"frames": 10**6}, {"max_seconds": 10**9}]
)
def test_so_are_those_of_an_extraction(values: dict[str, int]) -> None:
    with pytest.raises(RefusedError, match=next(iter(values))):
        validated(CacheSettings, values, where="the settings")


def test_what_yamls_aliases_multiply_is_not_spelled_out() -> None:
    """Nine levels of ten aliases would be a text of gigabytes."""
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    names = "abcdefghij"
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in pairwise(names)]
    values = {"dataset": parse_yaml("\n".join(lines))["j"]}
    with pytest.raises(RefusedError) as refused:
        validated(RunConfig, values, where="the settings")
    assert len(str(refused.value)) < 2000
