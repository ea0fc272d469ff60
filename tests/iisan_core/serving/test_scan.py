"""One user's best items by bounds of eight bits against all scores in float32."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from iisan_core.model.together import Added
from iisan_core.serving import scan
from iisan_core.serving.retrieval import Candidates

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not hasattr(torch, "_weight_int8pack_mm"), reason="this torch multiplies no eight bits"),
]

N, W = 3000, 48


@pytest.fixture(autouse=True)
def of_small_catalogues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "LEAST_ITEMS", 0)


def table(seed: int) -> torch.Tensor:
    """Vectors of very different length and very different columns, some of them twice, row 0 zero."""
    draw = torch.Generator().manual_seed(seed)
    made = torch.randn(N + 1, W, generator=draw) * torch.logspace(-2, 1, W)
    made *= torch.rand(N + 1, 1, generator=draw) * 3
    made[2000:2400] = made[100:500]
    made[0] = 0
    return made


def both(vectors: torch.Tensor, user: torch.Tensor, seen: torch.Tensor, k: int, added: Added | None = None):
    """Best items by the scan, and by all scores."""
    quick, plain = Candidates.whole(vectors), Candidates.whole(vectors)
    assert quick._scan is not None
    plain.__dict__["_scan"] = None
    extra = (lambda rows: added) if added is not None else None
    return quick.best(user, seen, k=k, added=extra), plain.best(user, seen, k=k, added=extra)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("k", [1, 10, 300])
def test_the_best_are_the_best(seed: int, k: int) -> None:
    user = torch.randn(1, W, generator=torch.Generator().manual_seed(100 + seed))
    seen = Candidates.whole(table(seed)).best(user, torch.zeros(1, 1, dtype=torch.int64), k=5)[1][:, ::2]
    (values, numbers), (expected, plain) = both(table(seed), user, seen, k)
    assert_close(values, expected)
    assert not set(numbers[0].tolist()) & set(seen[0].tolist())
    differ = numbers != plain  # rounding may turn round what scores the same
    assert_close(values[differ], expected[differ], rtol=1e-6, atol=1e-5)


def test_scores_lie_within_the_bounds() -> None:
    vectors, user = table(1), 5 * torch.randn(1, W)
    made = scan.Scan.of(vectors)
    about, error = made.about(user)
    off = (about - (user.double() @ vectors.double().T).float()).abs().max()
    assert 0 < off <= error
    assert error < 0.1 * float((user @ vectors.T).abs().max()), "a bound that tells nothing apart is no use"


def test_what_is_added_counts() -> None:
    vectors, user = table(2), torch.randn(1, W)
    lifted = int((user @ vectors[1:].T).argmin()) + 1
    starts = (torch.arange(N + 2) > lifted).long()
    added = Added(starts, torch.tensor([0]), torch.tensor([1e4]))
    (values, numbers), (expected, plain) = both(vectors, user, torch.zeros(1, 1, dtype=torch.int64), 3, added)
    assert numbers[0, 0] == lifted
    assert_close((values, numbers), (expected, plain))


def test_where_almost_everything_is_seen_all_is_scored() -> None:
    seen = torch.arange(1, N - 5).unsqueeze(0)
    (values, numbers), (expected, plain) = both(table(3), torch.randn(1, W), seen, 10)
    assert torch.equal(numbers, plain)
    assert_close(values, expected)


def test_equal_vectors_keep_the_order_of_their_numbers() -> None:
    vectors = torch.zeros(N + 1, W)
    vectors[1:, 0] = (torch.arange(N) % 50).float()
    numbers = both(vectors, torch.ones(1, W), torch.zeros(1, 1, dtype=torch.int64), 20)[0][1]
    assert numbers[0].tolist() == [50 * n for n in range(1, 21)]
