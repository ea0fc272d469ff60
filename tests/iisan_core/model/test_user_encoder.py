"""What holds of SASRec beyond what `test_user_encoders.py` asks of every encoder."""

import pytest
import torch
from torch.testing import assert_close

from iisan_core.model.user_encoder import SASRec, causal_visibility

E, S, B = 8, 5, 3


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    made = SASRec(width=E, positions=S, blocks=2, heads=2, dropout=0.1)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


def real_positions(*lengths):
    return torch.stack([torch.arange(S) >= S - length for length in lengths])


@pytest.mark.parametrize("changed", range(S))
def test_a_later_item_never_changes_an_earlier_state(encoder, changed):
    items, real = torch.randn(B, S, E), real_positions(S, S, S)
    other = items.clone()
    other[:, changed] = torch.randn(B, E)
    before, after = encoder(items, real), encoder(other, real)
    assert_close(after[:, :changed], before[:, :changed])
    differences = (after - before).abs().amax(dim=(0, 2))
    assert (differences[changed:] > 1e-3).all(), "the state there and every later one has seen it"


def test_a_shorter_history_is_not_the_longer_one(encoder):
    items = torch.randn(1, S, E)
    short, long = (encoder(items, real_positions(length))[0, -1] for length in (2, 3))
    assert not torch.allclose(short, long, atol=1e-3)


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_newest_state_alone_is_the_one_at_the_last_position(blocks):
    torch.manual_seed(0)
    encoder = SASRec(width=E, positions=S, blocks=blocks, heads=2, dropout=0.1).eval()
    items, real = torch.randn(B, S, E), real_positions(1, 2, 3)
    expected = encoder(items, real)[:, -1]
    assert_close(encoder.newest(items, real), expected)
    assert_close(encoder.newest(items[:, -3:], real[:, -3:]), expected)


def test_leaving_padding_out_changes_neither_states_nor_gradients(encoder):
    real = real_positions(1, 3, S)
    found = []
    for form in (encoder.packed, encoder.padded):
        encoder.zero_grad()
        items = torch.randn(B, S, E, generator=torch.Generator().manual_seed(1)).requires_grad_()
        states = form(items, real)[real]
        states.square().sum().backward()
        found.append([states, items.grad[real], *(p.grad for p in encoder.parameters())])
    for packed, padded in zip(*found, strict=True):
        assert_close(packed, padded, rtol=1e-4, atol=1e-5)


def test_visibility():
    expected = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 1, 1, 1]]
    assert torch.equal(causal_visibility(real_positions(3))[0, 0], torch.tensor(expected, dtype=torch.bool))


def test_projections_have_no_bias_and_feed_forward_is_four_wide(encoder):
    attention, feed_forward, norm = 4 * E * E, (E + 1) * 4 * E + (4 * E + 1) * E, 2 * E
    block = attention + feed_forward + 2 * norm
    assert sum(p.numel() for p in encoder.parameters()) == S * E + norm + 2 * block
