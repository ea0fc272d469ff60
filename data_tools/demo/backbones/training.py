"""What both demo backbones share: their size, the training loop, and the model folder that transformers reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from iisan_core.computing.threads import SuitableThreads
from iisan_core.errors import RefusedError
from iisan_core.files import new_folder

HEAD_WIDTH = 16
BATCH_SIZE = 64
OnStep = Callable[[int, int, float], None]
"""Called after every step with steps done, steps in all, and the step's loss."""
Objective = Callable[[Tensor], Tensor]
"""From row numbers `[B]` of the catalogue to a scalar loss."""
CARD = """# {title}

- Trained on {data}, and on nothing else: no other modality, no attributes, no interactions, no outside data.
- Objective: {objective}.
- Training: {steps} steps of {batch_size} items, seed {seed}; mean loss of the last tenth {loss:.4f}.
- Size: {layers} layers of width {width}, {parameters:,} parameters.
- Use the hidden states, `mean` pooled. The pooler was not trained: it is the identity followed by tanh.
"""


@dataclass(frozen=True)
class EncoderSize:
    """Depth and width of a transformer encoder; six narrow layers unless another is asked for."""

    layers: int = 6
    width: int = 64

    def __post_init__(self) -> None:
        if self.layers < 1 or self.width < HEAD_WIDTH or self.width % HEAD_WIDTH:
            raise RefusedError(
                f"a backbone of {self.layers} layers of width {self.width}: it needs at least one layer, and a width "
                f"that is a multiple of {HEAD_WIDTH}"
            )

    @property
    def settings(self) -> dict[str, Any]:
        """The same in the words of transformers' configurations."""
        return {
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.width // HEAD_WIDTH,
            "intermediate_size": 2 * self.width,
        }


DEMO_SIZE = EncoderSize()
"""The size of the backbones that `iisan demo` makes."""


@contextmanager
def new_backbone(folder: Path, *, rows: int, what: str, steps: int, seed: int) -> Iterator[Path]:
    """A temporary folder for a backbone, which becomes `folder` if the block succeeds.

    Within the block torch's CPU generator draws as if fresh from `seed`; afterwards it is as it was. Raises
    `RefusedError` if there is nothing to train on (`rows` of `what`), no step to take, or `folder` is taken.
    """
    if rows == 0:
        raise RefusedError(f"no {what} to train a backbone on: found 0, at least 1 is needed")
    if steps < 1:
        raise RefusedError(f"steps must be at least 1 to train a backbone, found {steps}")
    with new_folder(folder) as temporary, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield temporary


def train(
    model: nn.Module,
    objective: Objective,
    *,
    rows: int,
    steps: int,
    learning_rate: float,
    on_step: OnStep | None,
) -> float:
    """Train in place by AdamW with a warm-up and a cosine decay; the mean loss of the last tenth of the steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share_of_rate(step, steps=steps))
    losses: list[float] = []
    model.train()
    with SuitableThreads(most=1):  # beside other work more than one wait for each other, and the world would differ
        for step in range(steps):
            loss = objective(torch.randint(rows, (BATCH_SIZE,)))
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


def adopt_encoder(model: PreTrainedModel, weights: dict[str, Tensor]) -> None:
    """Give `model` the trained encoder's weights and, as nothing trained one, a pooler that mixes nothing."""
    model.load_state_dict(weights, strict=False)
    nn.init.eye_(model.pooler.dense.weight)
    nn.init.zeros_(model.pooler.dense.bias)


def write_model(
    model: PreTrainedModel, folder: Path, *, title: str, data: str, objective: str, steps: int, seed: int, loss: float
) -> None:
    """Write `config.json`, `model.safetensors` and a `README.md`: trained on what, how, and to which loss."""
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    weights = {name: weight.contiguous() for name, weight in model.state_dict().items()}
    # Not by `save_pretrained`, which shows a progress bar.
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    card = CARD.format(
        title=title,
        data=data,
        objective=objective,
        steps=steps,
        batch_size=BATCH_SIZE,
        seed=seed,
        loss=loss,
        layers=model.config.num_hidden_layers,
        width=model.config.hidden_size,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
