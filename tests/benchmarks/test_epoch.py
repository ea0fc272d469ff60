"""Whole epochs and how cost grows, on work of a few kilobytes."""

import json

import pytest

from app.bench.random_work import Size
from iisan_core.config.schema import ModelConfig, TrainingConfig
from tests.benchmarks import epoch, gather, scaling
from tests.benchmarks.epoch import bench_epoch
from tests.benchmarks.scaling import bench_scaling, fitted_exponent

SMALL = Size(items=50, users=40, layers=2, text_width=16, image_width=16, max_history=4)
MODEL = ModelConfig(bottleneck=4, embedding=8)
TRAINING = TrainingConfig(batch_size=8, device="cpu")
FEW = ["--items", "50", "--users", "16", "--batch-size", "8", "--device", "cpu", "--repeats", "1"]
TINY = [*FEW, "--layers", "2", "--text-width", "16", "--image-width", "16"]


def test_an_epoch_takes_every_user_once():
    found = bench_epoch(SMALL, MODEL, TRAINING, repeats=1)
    assert found["steps"] == 40 // 8
    assert found["state_bytes"] == 50 * 2 * 2 * 16 * 2
    assert found["reserved_memory_bytes"] is None
    assert 0 < found["min_s"] <= found["median_s"] <= found["max_s"]


def test_the_exponent_of_a_power_law():
    amounts = [1.0, 4.0, 16.0]
    assert fitted_exponent(amounts, [3 * a**1.25 for a in amounts]) == pytest.approx(1.25)


def test_scaling_grows_one_thing_at_a_time():
    found = bench_scaling(SMALL, MODEL, TRAINING, growth=(1, 2), repeats=1)
    assert found["rank"]["items"] == [50, 100]
    one, two = found["epoch"]["interactions"]
    assert two == pytest.approx(2 * one, rel=0.2)
    assert len(found["epoch"]["median_s"]) == 2


def test_it_prints_json_with_device_and_versions(capsys):
    epoch.main(TINY)
    found = json.loads(capsys.readouterr().out)
    assert found["bench"] == "epoch" and not found["compiled"]
    assert {"median_s", "min_s", "max_s", "device", "torch", "python"} <= set(found)


@pytest.mark.parametrize(("program", "defaults"), [(epoch, [64, "float32"]), (scaling, [512, "bfloat16"])])
def test_programs_have_defaults_of_their_own(monkeypatch, program, defaults):
    given = []
    monkeypatch.setattr(program, f"bench_{program.__name__.split('.')[-1]}", lambda *a, **_: given.append(a[2]) or {})
    program.main([])
    assert [given[0].batch_size, given[0].precision] == defaults


def test_the_reading_of_a_cache_is_asked_in_gigabytes(monkeypatch):
    asked = {}
    monkeypatch.setattr(gather, "bench_gather", lambda **given: asked.update(given) or {})
    gather.main(["--gigabytes", "0.5", "--rows", "9"])
    assert asked == {"gigabytes": 0.5, "rows": 9}
