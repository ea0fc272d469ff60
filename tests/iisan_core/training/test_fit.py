import re

import numpy as np
import pytest
import torch

from iisan_core.errors import IisanError, RefusedError
from iisan_core.evaluation.metrics import summary
from iisan_core.evaluation.ranks import ranks_of
from iisan_core.model.inference import item_table
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.batches import make_batch
from iisan_core.training.events import EpochEnded, Noted, Progress, TrainingEnded, as_record
from iisan_core.training.fit import fit
from iisan_core.training.inputs import RunInputs
from iisan_core.training.optimizer import make_optimizer
from iisan_core.training.step import Stepper


@pytest.fixture
def start(world, tmp_path):
    """Begin to fit the tiny world's model; returns the events, not yet asked for, and the model."""

    def begin(*, on_best=lambda model: None, stop_asked=lambda: False, model=None, **training):
        config = world.config(model=model, training=training)
        inputs = RunInputs.open(config)
        bank = inputs.states()
        torch.manual_seed(config.training.seed)
        made = RecommenderModel(inputs.shape(config, bank))
        checkpoint = tmp_path / "checkpoint"
        events = fit(
            made, bank, inputs.split, config.training, checkpoint=checkpoint, on_best=on_best, stop_asked=stop_asked
        )
        return events, made

    return begin


MODELS = [
    None, {"intra": False}, {"inter": False}, {"head": "stacked"}, {"adapter": "linear"}, {"adapter": "mlp"},
    {"ids": True}, {"adapter": "linear", "ids": True},
]  # fmt: skip


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_it_learns_the_pattern(start, world, model):
    events = list(start(model=model, epochs=6)[0])
    ended = events[-1]
    # A user who likes one class of ten items: guessing within it would hit nearly always, guessing among all rarely.
    guessing = 100 * 10 / (world.dataset.items.height - 3)
    best = max(event.valid["HR@10"] for event in of(EpochEnded, events))
    assert best > 3 * guessing
    assert of(EpochEnded, events)[ended.best_epoch - 1].valid["HR@10"] == best
    losses = [event.loss for event in of(EpochEnded, events)]
    assert losses[-1] < losses[0]


def test_events_come_in_order(start, world):
    events = list(start(epochs=2)[0])
    steps = -(-len(RunInputs.open(world.config()).split.windows) // 16)
    progress = [Progress, *[Progress] * (steps - 1), EpochEnded]
    assert [type(event) for event in events] == [*progress, *progress, TrainingEnded]
    assert [event.step for event in events[:steps]] == list(range(1, steps + 1))
    assert {event.steps for event in of(Progress, events)} == {steps}
    assert events[-1] == TrainingEnded("epochs", best_epoch=events[-2].best_epoch, epochs=2)


def test_patience_ends_it(start):
    events = list(start(epochs=100, patience=2)[0])
    ended = events[-1]
    assert ended.reason == "patience"
    assert ended.epochs == ended.best_epoch + 2 == len(of(EpochEnded, events))
    assert [event.waited for event in of(EpochEnded, events)][-3:] == [0, 1, 2]


def test_the_best_epochs_model_is_handed_over(start):
    kept = []
    events, model = start(epochs=4, on_best=lambda m: kept.append(m.items.fusion.weight.detach().clone()))
    improvements = []
    for event in events:
        if isinstance(event, EpochEnded) and event.waited == 0:
            improvements.append(event.epoch)
            assert torch.equal(kept[-1], model.items.fusion.weight)
    assert len(kept) == len(improvements) >= 2


def test_a_stop_ends_it_after_the_step(start):
    asked = []
    events = start(stop_asked=lambda: bool(asked))[0]
    seen = [next(events), next(events)]
    asked.append(True)
    assert list(events) == [TrainingEnded("stopped", best_epoch=0, epochs=0)]
    assert [event.step for event in seen] == [1, 2]


def test_bfloat16_learns_too(start):
    events, model = start(epochs=4, precision="bfloat16")
    last = of(EpochEnded, events)[-1]
    assert last.valid["HR@10"] > 50
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_divergence_is_an_error(start, monkeypatch):
    monkeypatch.setattr("iisan_core.training.optimizer.rate_share", lambda *_, **__: 1e32)
    with pytest.raises(IisanError, match="training diverged"):
        list(start(schedule="linear")[0])


def test_sans_have_their_own_learning_rate(start, world):
    _, model = start()
    config = world.config(training={"learning_rate": 0.25, "san_learning_rate": 0.5, "weight_decay": 0.125}).training
    groups = make_optimizer(model, config).param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    names = {name: rates[id(p)] for name, p in model.named_parameters()}
    assert {n for n, rate in names.items() if rate == 0.5} == {n for n in names if n.startswith("items.towers.")}
    assert len(rates) == len(names) == sum(len(group["params"]) for group in groups), "each weight once"
    assert {group["weight_decay"] for group in groups} == {0.125}


def test_id_vectors_have_their_own_decay(start, world):
    _, model = start(model={"ids": True})
    config = world.config(training={"weight_decay": 0.125, "ids_weight_decay": 0.5}).training
    groups = make_optimizer(model, config).param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    names = {name: decays[id(p)] for name, p in model.named_parameters()}
    assert {n for n, decay in names.items() if decay == 0.5} == {"items.ids.vectors.weight"}
    assert len(decays) == len(names) == sum(len(group["params"]) for group in groups), "each weight once"


def test_slots_of_an_item_count_as_often_as_they_stand_in_the_batch(start, world):
    _, model = start()
    config = world.config()
    inputs = RunInputs.open(config)
    stepper = Stepper(model.eval(), inputs.states(), inputs.split, config.training)

    def loss(rows):
        return stepper.loss(make_batch(inputs.split.windows.take(np.array(rows)))).item()

    assert loss([0, 1, 2, 0, 1, 2]) > loss([0, 1, 2]), "every competitor counts twice, the target still once"


@pytest.mark.parametrize("users", [1, 3, 8])
def test_rows_that_make_shapes_recur_change_nothing(start, world, users):
    _, model = start()
    config = world.config(training={"precision": "bfloat16"})
    inputs = RunInputs.open(config)
    stepper = Stepper(model.eval(), inputs.states(), inputs.split, config.training)
    batch = make_batch(inputs.split.windows.take(np.arange(users)))
    found = {}
    for stepper.multiple in (1, 64):
        assert len(stepper.rows(batch)) % stepper.multiple == 0
        loss = stepper.loss(batch)
        found[stepper.multiple] = loss, torch.autograd.grad(loss, model.parameters(), materialize_grads=True)
    torch.testing.assert_close(found[64], found[1], rtol=0.02, atol=1e-3)


def test_float32_gathers_each_item_once(start, world):
    _, model = start()
    inputs = RunInputs.open(world.config())
    stepper = Stepper(model, inputs.states(), inputs.split, world.config().training)
    batch = make_batch(inputs.split.windows.take(np.arange(len(inputs.split.windows))))
    assert torch.equal(stepper.rows(batch), batch.items)


def test_records_name_their_kind():
    assert as_record(TrainingEnded("stopped", 1, 2)) == {
        "event": "ended", "reason": "stopped", "best_epoch": 1, "epochs": 2
    }  # fmt: skip
    assert as_record(Progress(1, 2, 3, 0.5))["event"] == "progress"


def test_without_a_folder_the_model_ends_at_its_best_epoch(world):
    config = world.config(training={"epochs": 3})
    inputs = RunInputs.open(config)
    states = inputs.states()
    torch.manual_seed(0)
    model = RecommenderModel(inputs.shape(config, states))
    ended = of(EpochEnded, fit(model, states, inputs.split, config.training))[-1]
    ranks = ranks_of(model, item_table(model, states, precision="float32"), inputs.split, "valid")
    assert summary(ranks)["HR@10"] == ended.best_hr10


def test_resuming_without_a_checkpoint_is_refused(world):
    config = world.config()
    inputs = RunInputs.open(config)
    model = RecommenderModel(inputs.shape(config, inputs.states()))
    with pytest.raises(RefusedError, match="give checkpoint="):
        next(fit(model, inputs.states(), inputs.split, config.training, resume=True))


@pytest.mark.parametrize(("threads", "computing"), [(None, {1}), (1, {1}), (2, {2})])
def test_threads_that_compute(start, threads, computing):
    """Small work takes one thread however many there are; a number that is given is taken."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    seen = {torch.get_num_threads() for event in start(epochs=1, threads=threads)[0] if isinstance(event, Progress)}
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert (seen, after) == (computing, 3)


def test_large_work_finds_out_how_many_threads_suit(start, monkeypatch):
    monkeypatch.setattr("iisan_core.training.step.LITTLE", 0)
    torch.set_num_threads(2)
    said = [event.sentence for event in of(Noted, start(epochs=4)[0])]
    torch.set_num_threads(1)
    assert len(said) == 1
    assert re.fullmatch(r"[12] of 2 threads compute \(the same step by threads: 1: \d+ ms, 2: \d+ ms\)", said[0])
