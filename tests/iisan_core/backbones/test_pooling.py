import pytest
import torch

from iisan_core.backbones.base import POOLINGS

# Tokens real at the end, at the start, with a hole, and everywhere.
MASK = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 0, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]])


def by_hand(pooling: str, tokens: list[torch.Tensor]) -> torch.Tensor:
    return {"cls": tokens[0], "last": tokens[-1], "mean": sum(tokens) / len(tokens)}[pooling]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_equals_a_loop_over_real_tokens(pooling: str) -> None:
    hidden = torch.randn(*MASK.shape, 7, generator=torch.Generator().manual_seed(0))
    slow = [
        by_hand(pooling, [h for h, real in zip(*row, strict=True) if real]) for row in zip(hidden, MASK, strict=True)
    ]
    torch.testing.assert_close(POOLINGS[pooling](hidden, MASK), torch.stack(slow))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_never_counts(pooling: str, side: str) -> None:
    hidden = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0))
    padding = torch.full((2, 4, 7), 1e6)
    parts = [(padding, torch.zeros(2, 4)), (hidden, torch.ones(2, 3))]
    padded, mask = (torch.cat(part, dim=1) for part in zip(*(parts if side == "left" else parts[::-1]), strict=True))
    torch.testing.assert_close(POOLINGS[pooling](padded, mask), POOLINGS[pooling](hidden, torch.ones(2, 3)))


def test_half_precision_is_summed_in_float32() -> None:
    hidden = torch.full((1, 300, 1), 300.0, dtype=torch.float16)  # the sum, 90,000, is beyond float16
    assert POOLINGS["mean"](hidden, torch.ones(1, 300)).item() == pytest.approx(300.0)
