"""Full-catalogue ranking in blocks of bounded memory (method, section 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from iisan_core.computing.threads import SuitableThreads
from iisan_core.data.sequences import Sequences
from iisan_core.errors import IisanError
from iisan_core.evaluation.top_k import top_k
from iisan_core.model.together import Added

BLOCK_BYTES = 10 * 2**20
"""Scores held at once: a block that stays in the processor's cache is ranked at the speed of the product."""

MIN_USERS = 16

TILE_ITEMS = 2**13
"""Items that a block of users is scored on at once: however large the catalogue, it is read once for many users."""

EXACT_IN_FLOAT32 = 2**24


def rank_targets(
    users: Tensor,
    items: Tensor,
    *,
    seen: Sequences,
    targets: Tensor,
    added: Callable[[Tensor], Added | None] | None = None,
) -> Tensor:
    """Rank of each user's target among all items: 1 + the number of other items scoring higher or equal.

    users    [U, E]      user states
    items    [N + 1, E]  item vectors; row 0 is padding and never ranked
    seen     [U]         item numbers that get no score
    targets  [U]         item numbers
    added    rows of users, int64 [B] → what is added to the products that are their scores, if anything
    returns  [U]         int64; `N + 1` for a target that was seen, for it has no score

    Scores are float32. Raises `IisanError` where a score is not finite.
    """
    tiles, size = _tiles(users, items)
    ranks = torch.empty_like(targets)
    with SuitableThreads.on(users.device) as threads:
        for rows in targets.argsort().split(size):  # so a block's targets stand in few tiles, which are scored twice
            hidden, extra = _hidden(seen, rows), added(rows) if added is not None else None
            with threads.step(work=len(rows)):
                block = users[rows].float()
                ranks[rows] = _ranks_in_tiles(tiles, block, seen=hidden, targets=targets[rows], extra=extra)
    return ranks


def top_items(
    users: Tensor, items: Tensor, *, seen: Sequences, k: int, added: Callable[[Tensor], Added | None] | None = None
) -> Tensor:
    """Each user's best `k` items of all, by the scores that `rank_targets` ranks by.

    users    [U, E]      user states
    items    [N + 1, E]  item vectors; row 0 is padding
    seen     [U]         item numbers that get no score
    added    as in `rank_targets`
    returns  [U, k]      item numbers, best first, of equal scores the lower; 0 where fewer have a score

    Raises `IisanError` where a score is not finite.
    """
    tiles, size = _tiles(users, items)
    numbers = torch.zeros(len(users), k, dtype=torch.int64, device=users.device)
    for rows in torch.arange(len(users), device=users.device).split(size):
        hidden, extra = _hidden(seen, rows), added(rows) if added is not None else None
        found = [tile.best(users[rows].float(), hidden, k, extra) for tile in tiles]
        scores, own = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
        best, places = top_k(scores, min(k, scores.shape[1]))
        numbers[rows, : best.shape[1]] = own.gather(1, places).where(best > float("-inf"), 0)
    return numbers


def top_of_scores(scores: Tensor, *, seen: Tensor, k: int) -> Tensor:
    """The best `k` item numbers [B, k] as in `top_items`, from scores [B, N + 1], which are overwritten."""
    best, numbers = top_k(hide_seen(scores, seen), min(k, scores.shape[1]))
    return F.pad(numbers.where(best > float("-inf"), 0), (0, k - best.shape[1]))


def _tiles(users: Tensor, items: Tensor) -> tuple[list[_Tile], int]:
    """All items, and how many users are scored on a tile of them at once."""
    items = items.float()
    check_finite(users.float(), items)
    tiles = [_Tile(items, first) for first in range(1, len(items), TILE_ITEMS)]
    return tiles, users_per_block(min(len(items), TILE_ITEMS + 1))


def _hidden(seen: Sequences, rows: Tensor) -> Tensor:
    """Item numbers [B, H] of some users' rows [B], padded, on their device."""
    return torch.from_numpy(seen.take(rows.numpy(force=True)).newest()).to(rows.device)


class _Tile:
    """Some of the items: column `c` of its scores is item `first + c − 1`, column 0 padding."""

    def __init__(self, items: Tensor, first: int) -> None:
        some = items[first : first + TILE_ITEMS]
        self._first, self.width = first, len(some)
        self._products = Products(torch.cat([items[:1], some]))

    def columns(self, numbers: Tensor) -> Tensor:
        """Where items stand in the tile's scores; 0 for those of other tiles."""
        columns = numbers - self._first + 1
        return columns.where((columns > 0) & (columns <= self.width), 0)

    def scores(self, users: Tensor, seen: Tensor, extra: Added | None) -> Tensor:
        """[B, E] → [B, width + 1], −∞ for padding and for items numbered in `seen` [B, H]."""
        scores = self._products(users)
        if extra is not None:
            extra.to_tile(scores, first=self._first - 1)
        return hide_seen(scores, self.columns(seen))

    def best(self, users: Tensor, seen: Tensor, k: int, extra: Added | None) -> tuple[Tensor, Tensor]:
        """The largest `k` of these scores, or all, and the numbers of their items; both [B, k]."""
        scores, columns = top_k(self.scores(users, seen, extra), min(k, self.width + 1))
        return scores, columns + (self._first - 1)


def _ranks_in_tiles(
    tiles: Sequence[_Tile], users: Tensor, *, seen: Tensor, targets: Tensor, extra: Added | None
) -> Tensor:
    """`rank_targets` for a block of users; targets' scores come from the products that they are held against."""
    target_scores = users.new_full((len(users), 1), float("-inf"))
    kept: dict[_Tile, Tensor] = {}  # the last one's scores: where there is one tile, it is scored once
    for tile in tiles:
        columns = tile.columns(targets).unsqueeze(1)
        if columns.any():
            kept = {tile: tile.scores(users, seen, extra)}
            target_scores = kept[tile].gather(1, columns).where(columns > 0, target_scores)
    higher = torch.zeros_like(targets)
    for tile in tiles:
        higher += _at_least(kept[tile] if tile in kept else tile.scores(users, seen, extra), target_scores)
    items = sum(tile.width for tile in tiles)
    return higher.where(target_scores.squeeze(1) > float("-inf"), items + 1)


def users_per_block(items: int) -> int:
    """How many users' float32 scores over `items` are held at once."""
    return max(MIN_USERS, BLOCK_BYTES // (4 * items))


def hide_seen(scores: Tensor, seen: Tensor) -> Tensor:
    """Set to −∞, in place, the scores [B, N + 1] of padding and of the items numbered in `seen` [B, H]."""
    scores[:, 0] = float("-inf")
    return scores.scatter_(1, seen, float("-inf"))


def check_finite(users: Tensor, items: Tensor) -> None:
    """Raise `IisanError` if any score could be infinite or no number.

    By Cauchy–Schwarz no score exceeds the product of the largest norms, so nothing per score is looked at.
    """
    bound = users.double().norm(dim=1).max() * items.double().norm(dim=1).max()
    if not bound < torch.finfo(torch.float32).max:
        raise IisanError(
            f"scores are not finite (the largest could be {bound.item():.3g}): the training diverged; "
            "lower the learning rate or train in float32"
        )


def rank_scores(scores: Tensor, *, seen: Tensor, targets: Tensor) -> Tensor:
    """Ranks [B] as in `rank_targets`, from scores [B, N + 1], which are overwritten."""
    scores = hide_seen(scores, seen)
    return _at_least(scores, scores.gather(1, targets.unsqueeze(1)))


def _at_least(scores: Tensor, bounds: Tensor) -> Tensor:
    """How many scores [B, C] of each row reach its bound [B, 1]; the scores are overwritten."""
    # Ones are summed as floats: several times faster than counting booleans, and exact below 2^24.
    exact = torch.float32 if scores.shape[1] < EXACT_IN_FLOAT32 else torch.float64
    return scores.ge_(bounds).sum(dim=1, dtype=exact).long()


class Products:
    """The products of rows [n, E] with a table [N, E], float32 [n, N].

    On CPUs torch multiplies float32 by MKL, which leaves half of the widest vectors of other makers' processors unused.
    oneDNN, which torch ships for its compiler, uses all; it wants the table in an order of its own, which is made once
    and takes as much memory again.
    """

    def __init__(self, table: Tensor) -> None:
        self._packed = on_wide_cpu(table)
        self._table = torch.ops.mkldnn._reorder_linear_weight(table) if self._packed else table.T.contiguous()

    def __call__(self, rows: Tensor) -> Tensor:
        """Float32 [n, E] → [n, N]; nothing in it can be differentiated."""
        if self._packed:
            found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._table, None, "none", [], "")
            return found
        return rows @ self._table


def on_wide_cpu(table: Tensor) -> bool:
    """Whether oneDNN serves a table better than MKL does: in float32, on a CPU with vectors of 512 bits."""
    return (
        table.device.type == "cpu"
        and table.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
