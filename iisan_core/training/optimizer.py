"""What an update of the weights is: their rates, how those go on, clipped gradients, and the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from iisan_core.config.training import TOWER_PARTS, TrainingConfig
from iisan_core.model.recommender import RecommenderModel


class Updater:
    """Updates a model's weights from the gradients that lie on them."""

    def __init__(self, model: RecommenderModel, config: TrainingConfig) -> None:
        self.config = config
        self.optimizer = make_optimizer(model, config)
        self.average = None if config.ema is None else WeightAverage(model, decay=config.ema)
        self._weights = [p for p in model.parameters() if p.requires_grad]
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self._done, self._steps = 0, 0

    def begin_epoch(self, epoch: int, *, steps: int) -> None:
        """Say where training stands: before the first of the `steps` of `epoch`, counted from 1."""
        self._done, self._steps = (epoch - 1) * steps, steps

    def update(self) -> None:
        """One step of the optimiser; gradients are cleared by it."""
        self._done += 1
        if self._steps and (self.config.warmup_epochs or self.config.schedule != "constant"):
            share = rate_share(self._done, steps_per_epoch=self._steps, config=self.config)
            for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate * share
        if self.config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._weights, self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.take_in(steps=self._done)

    @contextmanager
    def kept_weights(self) -> Iterator[None]:
        """Within, the model has the weights that are validated and kept: their average, where there is one."""
        if self.average is None:
            yield
            return
        self.average.swap()
        try:
            yield
        finally:
            self.average.swap()


def rate_share(step: int, *, steps_per_epoch: int, config: TrainingConfig) -> float:
    """What share of its rate every group has at a step of the whole training, counted from 1.

    The warm-up reaches 1 at its last step; a schedule begins with 1 after it and would reach 0 one step after the last.
    """
    warm = round(config.warmup_epochs * steps_per_epoch)
    if step <= warm:
        return step / warm
    if config.schedule == "constant":
        return 1.0
    gone = (step - 1 - warm) / max(1, config.epochs * steps_per_epoch - warm)
    return 1 - gone if config.schedule == "linear" else (1 + math.cos(math.pi * gone)) / 2


class WeightAverage:
    """An exponential moving average of a model's trained weights, `a ← d·a + (1 − d)·w` after each step.

    `d` is at most (1 + steps)/(10 + steps), so that the weights of the start are soon forgotten.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self._weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.values = {name: p.detach().clone() for name, p in self._weights.items()}

    @torch.no_grad()
    def take_in(self, *, steps: int) -> None:
        """Take in the weights as they are after so many steps."""
        decay = min(self.decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(list(self.values.values()), list(self._weights.values()), 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange weights and average."""
        for name, weight in self._weights.items():
            own = weight.detach().clone()
            weight.copy_(self.values[name])
            self.values[name].copy_(own)


def make_optimizer(model: RecommenderModel, config: TrainingConfig) -> torch.optim.Optimizer:
    """Adam with a rate for the SANs, rates of single parts, and a decay for id vectors; one fused update for all."""
    sans = set(model.items.towers.parameters())
    ids = set(model.items.ids.parameters()) if model.items.ids is not None else set()
    others = [p for p in model.parameters() if p not in sans and p not in ids]
    groups: list[dict[str, Any]] = [
        {"params": list(model.items.towers.parameters()), "lr": config.san_learning_rate},
        {"params": others, "lr": config.learning_rate},
    ]
    if ids:
        own = {"lr": config.learning_rate, "weight_decay": config.ids_weight_decay}
        groups.append({"params": list(ids), **own})
    if config.learning_rates:
        groups = _by_rate(groups, {p: own_rate(name, config.learning_rates) for name, p in model.named_parameters()})
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)


def _by_rate(groups: list[dict[str, Any]], rates: Mapping[Tensor, float | None]) -> list[dict[str, Any]]:
    """The groups, each divided by its weights' own rates."""
    divided: list[dict[str, Any]] = []
    for group in groups:
        of_rate: dict[float, list[Tensor]] = {}
        for weight in group["params"]:
            of_rate.setdefault(rates[weight] or group["lr"], []).append(weight)
        divided += [{**group, "params": weights, "lr": rate} for rate, weights in of_rate.items()]
    return divided


def own_rate(name: str, rates: Mapping[str, float]) -> float | None:
    """The rate that `training.learning_rates` gives a weight of this name, its tower's own before all towers'."""
    tower, part = part_of(name)
    return rates.get(f"{tower}.{part}", rates.get(part))


def part_of(name: str) -> tuple[str, str]:
    """Tower (empty for what there is once) and part, in the words of `training.learning_rates`, of a model's weight."""
    place = name.split(".")
    if place[:2] == ["items", "head"]:  # on top of backbones that run in every step
        place = ["items", *place[2:]]
    if place[0] == "users":
        return "", "users"
    match place[1:]:
        case ["towers", tower, part, *_]:
            return tower, part if part in TOWER_PARTS else "san"
        case ["heads", tower, "inner", *_]:
            return tower, "head.inner"
        case ["heads", tower, *_]:
            return tower, "head.outer"
        case ["stand_ins", tower, *_]:
            return tower, "stand_ins"
    return "", place[1]
