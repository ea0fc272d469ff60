"""What holds for every user encoder, and GRU4Rec and HSTU against loops that say them word by word."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from iisan_core.config.schema import ModelConfig
from iisan_core.model.recommender import USER_ENCODERS, ModelShape, RecommenderModel
from iisan_core.model.saving import load_model, save_model

E, S, B = 8, 5, 3


def make(name, *, blocks=2):
    torch.manual_seed(0)
    made = USER_ENCODERS[name](width=E, positions=S, blocks=blocks, heads=2, dropout=0.1)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return made.eval()


@pytest.fixture(params=USER_ENCODERS)
def encoder(request):
    return make(request.param)


def real_positions(*lengths):
    return torch.stack([torch.arange(S) >= S - length for length in lengths])


@pytest.mark.parametrize("changed", range(S))
def test_a_later_item_never_changes_an_earlier_state(encoder, changed):
    items, real = torch.randn(B, S, E), real_positions(S, S, S)
    other = items.clone()
    other[:, changed] = torch.randn(B, E)
    before, after = encoder(items, real), encoder(other, real)
    assert_close(after[:, :changed], before[:, :changed])
    assert ((after - before).abs().amax(dim=(0, 2))[changed:] > 1e-3).all(), "it is seen there and from then on"


def test_padding_is_never_seen(encoder):
    items, real = torch.randn(B, S, E), real_positions(1, 3, S)
    other = torch.where(real.unsqueeze(2), items, 100.0)
    assert_close(encoder(other, real)[real], encoder(items, real)[real])


def test_users_do_not_see_each_other(encoder):
    items, real = torch.randn(B, S, E), real_positions(2, 4, S)
    together = encoder(items, real)
    for user in range(B):
        alone = encoder(items[user : user + 1], real[user : user + 1])[0]
        assert_close(alone[real[user]], together[user][real[user]])


def test_order_matters(encoder):
    items, real = torch.randn(1, S, E), real_positions(S)
    turned = items[:, [1, 0, 2, 3, 4]]
    assert not torch.allclose(encoder(turned, real)[0, -1], encoder(items, real)[0, -1], atol=1e-3)


def test_dropout_is_on_in_training_only(encoder):
    items, real = torch.randn(1, S, E), real_positions(S)
    assert_close(encoder(items, real), encoder(items, real))
    encoder.train()
    assert not torch.allclose(encoder(items, real), encoder(items, real))


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("name", USER_ENCODERS)
def test_the_newest_state_alone_is_the_one_at_the_last_position(name, blocks):
    encoder, items, real = make(name, blocks=blocks), torch.randn(B, S, E), real_positions(1, 2, 3)
    expected = encoder(items, real)[:, -1]
    assert_close(encoder.newest(items, real), expected)
    assert_close(encoder.newest(items[:, -3:], real[:, -3:]), expected)


def test_a_user_without_items_has_a_state(encoder):
    assert torch.isfinite(encoder.newest(torch.randn(1, 1, E), torch.zeros(1, 1, dtype=torch.bool))).all()


def slow_gru(encoder, items):
    """States of one user's real items [n, E], by the network's formulas, one item and layer at a time."""
    for layer in range(encoder.gru.num_layers):
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = [getattr(encoder.gru, f"{kind}_l{layer}") for kind in kinds]
        state, states = torch.zeros(E), []
        for item in items:
            from_item = (weights[0] @ item + weights[2]).chunk(3)
            from_state = (weights[1] @ state + weights[3]).chunk(3)
            reset, update = (torch.sigmoid(a + b) for a, b in zip(from_item[:2], from_state[:2], strict=True))
            new = torch.tanh(from_item[2] + reset * from_state[2])
            state = (1 - update) * new + update * state
            states.append(state)
        items = torch.stack(states)
    return encoder.out(items)


def slow_hstu(encoder, items):
    """States of one user's real items [n, E], one position, head and earlier item at a time."""
    x = items + encoder.position.weight[S - len(items) :]
    for block in encoder.block:
        u, v, q, k = F.silu(block.norm(x) @ block.uvqk.weight.T).chunk(4, dim=1)
        mixed = torch.zeros_like(x)
        for head in range(block.heads):
            own = slice(head * E // block.heads, (head + 1) * E // block.heads)
            for now in range(len(x)):
                for before in range(now + 1):
                    score = q[now, own] @ k[before, own] + block.bias[now - before]
                    mixed[now, own] += score * torch.sigmoid(score) / S * v[before, own]
        x = x + block.out(block.mixed_norm(mixed) * u)
    return encoder.norm(x)


@pytest.mark.parametrize(("name", "slow"), [("gru4rec", slow_gru), ("hstu", slow_hstu)])
def test_states_are_those_of_the_slow_form(name, slow):
    encoder, items, lengths = make(name), torch.randn(B, S, E), (1, 3, S)
    states = encoder(items, real_positions(*lengths))
    for user, length in enumerate(lengths):
        assert_close(states[user, S - length :], slow(encoder, items[user, S - length :]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", USER_ENCODERS)
def test_a_model_is_saved_and_loaded_with_its_encoder(name, tmp_path):
    config = ModelConfig(bottleneck=4, embedding=E, user_encoder=name)
    model = RecommenderModel(ModelShape(widths={"text": (16, 16)}, max_history=S, config=config)).eval()
    assert type(model.users) is USER_ENCODERS[name]
    save_model(model, tmp_path)
    items, real = torch.randn(B, S, E), real_positions(1, 3, S)
    assert torch.equal(load_model(tmp_path).users(items, real)[real], model.users(items, real)[real])
