import math

import pytest
import torch

from iisan_core.config.schema import TrainingConfig
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.inputs import RunInputs
from iisan_core.training.optimizer import Updater, WeightAverage, make_optimizer, part_of, rate_share

RATES = {"learning_rate": 0.25, "san_learning_rate": 0.5}


@pytest.fixture
def model(world):
    def make(**model):
        config = world.config(model=model)
        inputs = RunInputs.open(config)
        return RecommenderModel(inputs.shape(config, inputs.states()))

    return make


def shares(config, *, steps_per_epoch):
    steps = range(1, config.epochs * steps_per_epoch + 1)
    return [rate_share(step, steps_per_epoch=steps_per_epoch, config=config) for step in steps]


def test_rates_stay_as_they_are_by_default():
    assert shares(TrainingConfig(epochs=2), steps_per_epoch=3) == [1] * 6


def test_a_warm_up_rises_in_a_line():
    found = shares(TrainingConfig(epochs=3, warmup_epochs=1.5), steps_per_epoch=4)
    assert found == [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1, *[1] * 6]


def test_a_line_goes_down_to_the_end():
    found = shares(TrainingConfig(epochs=2, schedule="linear"), steps_per_epoch=5)
    assert found == pytest.approx([1 - step / 10 for step in range(10)])


def test_half_a_cosine_after_a_warm_up():
    found = shares(TrainingConfig(epochs=2, warmup_epochs=1, schedule="cosine"), steps_per_epoch=4)
    expected = [0.25, 0.5, 0.75, 1] + [(1 + math.cos(math.pi * gone / 4)) / 2 for gone in range(4)]
    assert found == pytest.approx(expected)


def test_every_group_follows_the_schedule_from_where_the_epoch_stands(model):
    config = TrainingConfig(**RATES, epochs=4, schedule="linear")
    updater = Updater(model(), config)
    updater.begin_epoch(3, steps=2)  # four of eight steps are done
    rates = []
    for _ in range(2):
        updater.update()
        rates.append([group["lr"] for group in updater.optimizer.param_groups])
    assert rates == [[0.5 * 4 / 8, 0.25 * 4 / 8], [0.5 * 3 / 8, 0.25 * 3 / 8]]


def test_gradients_longer_than_the_limit_are_cut(model):
    found = {}
    for limit in (None, 1e-3, 1e6):
        torch.manual_seed(0)
        made = model()
        updater = Updater(made, TrainingConfig(clip_norm=limit))
        for parameter in made.parameters():
            parameter.grad = torch.ones_like(parameter)
        seen = []
        updater.optimizer.register_step_pre_hook(
            lambda *_, seen=seen, made=made: seen.append(
                torch.stack([p.grad.norm() for p in made.parameters()]).norm().item()
            )
        )
        updater.update()
        found[limit] = seen[0]
        assert all(p.grad is None for p in made.parameters())
    assert found[1e-3] == pytest.approx(1e-3, rel=1e-3)
    assert found[None] == found[1e6] == pytest.approx(sum(p.numel() for p in made.parameters()) ** 0.5)


def test_the_average_is_the_one_that_its_formula_says():
    layer = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(layer, decay=0.5)
    expected = layer.weight.item()
    for step, weight in enumerate([3.0, -1.0, 2.0], start=1):
        torch.nn.init.constant_(layer.weight, weight)
        average.take_in(steps=step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    assert average.values["weight"].item() == pytest.approx(expected)
    average.swap()
    assert (layer.weight.item(), average.values["weight"].item()) == (pytest.approx(expected), 2.0)


def test_the_average_is_there_while_it_is_kept_and_gone_after(model):
    made = model()
    updater = Updater(made, TrainingConfig(ema=0.9))
    before = [p.detach().clone() for p in made.parameters()]
    with torch.no_grad():
        for p in made.parameters():
            p += 1
    with pytest.raises(KeyboardInterrupt), updater.kept_weights():
        assert all(torch.equal(p, old) for p, old in zip(made.parameters(), before, strict=True))
        raise KeyboardInterrupt
    assert all(torch.equal(p, old + 1) for p, old in zip(made.parameters(), before, strict=True))


def rates_of(made, **training):
    groups = make_optimizer(made, TrainingConfig(**RATES, **training)).param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rates) == sum(len(group["params"]) for group in groups), "each weight once"
    return {name: rates[id(p)] for name, p in made.named_parameters()}


def test_parts_have_their_own_rates(model):
    made = model(head="stacked")
    own = {"text.head.inner": 1.0, "head.inner": 2.0, "inter.gate": 3.0, "dtl": 4.0, "users": 5.0}
    for name, rate in rates_of(made, learning_rates=own).items():
        if name.startswith("items.heads.text.inner."):
            expected = 1.0
        elif ".inner." in name:
            expected = 2.0
        elif name == "items.towers.inter.gate":
            expected = 3.0
        elif ".dtl." in name:
            expected = 4.0
        elif name.startswith("users."):
            expected = 5.0
        else:
            expected = 0.5 if name.startswith("items.towers.") else 0.25
        assert rate == expected, name


def test_without_own_rates_groups_are_as_ever(model):
    made = model(ids=True)
    plain = make_optimizer(made, TrainingConfig(**RATES)).param_groups
    assert [group["lr"] for group in plain] == [0.5, 0.25, 0.25]
    assert rates_of(made) == rates_of(made, learning_rates={"video.san": 9.0})


def test_every_weight_belongs_to_a_part_that_may_be_named(model):
    parts = {
        part_of(name) for kind in ("linear", "stacked") for name, _ in model(head=kind, ids=True).named_parameters()
    }
    towers = {
        (tower, part) for tower in ("image", "text", "inter") for part in ("san", "gate", "head.outer", "head.inner")
    }
    assert parts == towers | {("", "fusion"), ("", "users"), ("", "ids"), ("image", "stand_ins")}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("items.towers.inter.dtl.text.2.weight", ("inter", "dtl")),
        ("items.towers.image.align.0.weight", ("image", "san")),
        ("items.head.heads.text.inner.bias", ("text", "head.inner")),
        ("items.backbones.text.network.layer.weight", ("", "backbones")),
    ],
)
def test_parts_of_weights_by_name(name, part):
    assert part_of(name) == part
