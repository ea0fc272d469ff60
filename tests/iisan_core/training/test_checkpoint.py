import pytest
import torch
from torch import nn

from iisan_core.errors import RefusedError
from iisan_core.training.checkpoint import Counters, load_checkpoint, save_checkpoint


def trained(*, width=4, steps=3, seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(width, 3), nn.Dropout(0.5), nn.Linear(3, 1))
    optimizer = torch.optim.AdamW([{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters()}])
    step(model, optimizer, steps)
    return model, optimizer


def step(model, optimizer, steps):
    for _ in range(steps):
        model(torch.randn(5, model[0].in_features)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_going_on_is_as_if_nothing_had_been_between(tmp_path):
    model, optimizer = trained()
    counters = Counters(epoch=7, best_epoch=5, best_hr10=1.25)
    save_checkpoint(tmp_path, model=model, optimizer=optimizer, counters=counters)
    step(model, optimizer, 4)

    other, other_optimizer = trained(steps=1, seed=9)
    assert load_checkpoint(tmp_path, model=other, optimizer=other_optimizer) == counters
    step(other, other_optimizer, 4)

    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    for one, two in zip(optimizer.state.values(), other_optimizer.state.values(), strict=True):
        assert all(torch.equal(one[key], two[key]) for key in ("step", "exp_avg", "exp_avg_sq"))
    assert [g["lr"] for g in other_optimizer.param_groups] == [0.1, 1e-3]


def test_a_checkpoint_replaces_the_one_before(tmp_path):
    model, optimizer = trained()
    for epoch in (1, 2):
        save_checkpoint(tmp_path, model=model, optimizer=optimizer, counters=Counters(epoch=epoch))
    assert load_checkpoint(tmp_path, model=model, optimizer=optimizer).epoch == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_no_checkpoint(tmp_path):
    model, optimizer = trained()
    with pytest.raises(RefusedError, match=r"no checkpoint at .*ended before its first epoch did"):
        load_checkpoint(tmp_path, model=model, optimizer=optimizer)


def test_another_models_checkpoint(tmp_path):
    model, optimizer = trained()
    save_checkpoint(tmp_path, model=model, optimizer=optimizer, counters=Counters())
    other, other_optimizer = trained(width=5)
    with pytest.raises(RefusedError, match="holds another model"):
        load_checkpoint(tmp_path, model=other, optimizer=other_optimizer)


def test_a_damaged_checkpoint(tmp_path):
    model, optimizer = trained()
    save_checkpoint(tmp_path, model=model, optimizer=optimizer, counters=Counters())
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(RefusedError, match=r"is no checkpoint of this program .*start the run anew"):
        load_checkpoint(tmp_path, model=model, optimizer=optimizer)


def test_waited_counts_epochs_since_the_best():
    assert Counters().waited == 0
    assert Counters(epoch=7, best_epoch=5).waited == 7 - 5
