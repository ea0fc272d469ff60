"""What may be asked of the trainer, from start to end: it learns, and goes on after a break as if none had been."""

import pytest
import torch

from iisan_core.errors import RefusedError
from iisan_core.evaluation.metrics import summary
from iisan_core.evaluation.ranks import ranks_of
from iisan_core.model.inference import item_table
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.events import EpochEnded
from iisan_core.training.fit import fit
from iisan_core.training.inputs import RunInputs

LOSSES = [
    {"loss": "in_batch", "correct_positive": False},
    {"loss": "sampled", "negatives": 40},
    {"loss": "sampled", "negatives": 40, "sampling": "popular"},
    {"loss": "sampled", "negatives": 40, "sampling": "popular", "correct_positive": False},
    {"loss": "gbce", "negatives": 40, "epochs": 40, "patience": 40},
    {"loss": "full"},
]
OPTIONS = [
    {"schedule": "cosine", "warmup_epochs": 1.5},
    {"schedule": "linear", "ema": 0.8},
    {"clip_norm": 0.5, "micro_batch": 5},
    {"loss": "sampled", "negatives": 20, "ema": 0.5, "schedule": "linear", "micro_batch": 7},
    {"learning_rates": {"users": 0.02, "text.san": 0.001, "head.outer": 0.02}},
]


class Training:
    """Training of the tiny world in one folder."""

    def __init__(self, world, checkpoint, **training):
        config = world.config(training={"epochs": 4} | training)
        self.inputs, self.training, self.checkpoint = RunInputs.open(config), config.training, checkpoint
        self.states = self.inputs.states()
        torch.manual_seed(config.training.seed)
        self.model = RecommenderModel(self.inputs.shape(config, self.states))

    def events(self, *, resume=False, epochs=None, **options):
        training = self.training if epochs is None else self.training.model_copy(update={"epochs": epochs})
        where = {"checkpoint": self.checkpoint, "resume": resume}
        return list(fit(self.model, self.states, self.inputs.split, training, **where, **options))


def epochs_of(events):
    return [event for event in events if isinstance(event, EpochEnded)]


@pytest.mark.parametrize("training", LOSSES, ids=str)
def test_every_loss_learns_the_pattern(world, tmp_path, training):
    found = epochs_of(Training(world, tmp_path, **{"epochs": 6} | training).events())
    guessing = 100 * 10 / (world.dataset.items.height - 3)
    assert max(epoch.valid["HR@10"] for epoch in found) > 3 * guessing
    assert found[-1].loss < found[0].loss


@pytest.mark.parametrize("training", OPTIONS, ids=str)
def test_a_training_broken_off_goes_on_as_if_nothing_had_been(world, tmp_path, training):
    whole = Training(world, tmp_path / "whole", **training)
    expected = epochs_of(whole.events())

    broken = Training(world, tmp_path / "broken", **training)
    steps = -(-len(broken.inputs.split.windows) // broken.training.batch_size)
    asked = iter([False] * (steps + 2) + [True])  # within the second epoch
    first = epochs_of(broken.events(stop_asked=lambda: next(asked)))
    again = Training(world, tmp_path / "broken", **training)
    torch.rand(3)
    found = first + epochs_of(again.events(resume=True))

    assert [(e.epoch, e.loss, e.valid) for e in found] == [(e.epoch, e.loss, e.valid) for e in expected]
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True))


@pytest.mark.parametrize("training", OPTIONS, ids=str)
def test_every_option_changes_what_is_learned(world, tmp_path, training):
    plain, other = Training(world, tmp_path / "plain"), Training(world, tmp_path / "other", **training)
    for each in (plain, other):
        each.events()
    assert not torch.equal(plain.model.items.fusion.weight, other.model.items.fusion.weight)


def test_the_average_is_what_is_validated_and_kept(world, tmp_path):
    kept, training = [], Training(world, tmp_path, ema=0.9)
    *_, last = epochs_of(training.events(on_best=lambda model: kept.append((valid_of(training), weights(model)))))
    hits, averaged = kept[-1]
    assert hits == last.best_hr10
    assert last.best_epoch == last.epoch, "else the next line says nothing"
    assert not torch.equal(averaged, weights(training.model)), "the weights themselves train on"


def weights(model):
    return model.items.fusion.weight.detach().clone()


def valid_of(training):
    training.model.eval()
    table = item_table(training.model, training.states, precision="float32")
    return summary(ranks_of(training.model, table, training.inputs.split, "valid"))["HR@10"]


def test_a_checkpoint_without_an_average_is_refused_where_one_is_asked_for(world, tmp_path):
    Training(world, tmp_path, epochs=1).events()
    with pytest.raises(RefusedError, match=r"holds no average of these weights, which training.ema asks for"):
        Training(world, tmp_path, ema=0.9).events(resume=True)
