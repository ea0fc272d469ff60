"""The training loop that both demo backbones share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from iisan_core.errors import RefusedError

OnStep = Callable[[int, int, float], None]
"""Called after every step with steps done, steps in all, and the step's loss."""

Objective = Callable[[Tensor], Tensor]
"""From row numbers `[B]` of the catalogue to a scalar loss."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's CPU generator as if fresh from `seed`; afterwards it is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def refuse_unusable(rows: int, *, what: str, steps: int) -> None:
    """Raise `RefusedError` if there is nothing to train on or no step to take."""
    if rows == 0:
        raise RefusedError(f"no {what} to train a backbone on: found 0, at least 1 is needed")
    if steps < 1:
        raise RefusedError(f"steps must be at least 1 to train a backbone, found {steps}")


def train(
    model: nn.Module,
    objective: Objective,
    *,
    rows: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    on_step: OnStep | None,
) -> float:
    """Train in place by AdamW with a warm-up and a cosine decay; the mean loss of the last tenth of the steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share_of_rate(step, steps=steps))
    losses: list[float] = []
    model.train()
    for step in range(steps):
        loss = objective(torch.randint(rows, (batch_size,)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if on_step is not None:
            on_step(step + 1, steps, losses[-1])
    last = losses[-max(1, steps // 10) :]
    return sum(last) / len(last)


def _share_of_rate(step: int, *, steps: int) -> float:
    warm_up = max(1, steps // 10)
    return min(1.0, (step + 1) / warm_up) * (1 + math.cos(math.pi * step / steps)) / 2
