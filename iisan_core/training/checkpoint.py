"""Everything a resume needs, in one safetensors file: weights, optimiser, random state, counters."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from iisan_core.errors import RefusedError
from iisan_core.files import checked, parse_json, replacing
from iisan_core.training.optimizer import WeightAverage

FILE = "state.safetensors"


@dataclass(frozen=True)
class Counters:
    """How far training has come."""

    epoch: int = 0
    best_epoch: int = 0
    best_hr10: float = -1.0

    @property
    def waited(self) -> int:
        """Epochs since the best one."""
        return self.epoch - self.best_epoch


def save_checkpoint(
    folder: Path,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    counters: Counters,
    average: WeightAverage | None = None,
) -> None:
    """Replace the checkpoint in `folder` in one step. A schedule of rates stands where the epoch says."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{k}": v for k, v in average.values.items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in values.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    with replacing(folder / FILE) as path:
        save_file({k: v.contiguous() for k, v in tensors.items()}, path, {"counters": json.dumps(asdict(counters))})


def load_checkpoint(
    folder: Path, *, model: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage | None = None
) -> Counters:
    """Bring model, optimiser, averaged weights and random state to where `save_checkpoint` left them.

    Raises `RefusedError` where there is no checkpoint or it is another model's.
    """
    require_checkpoint(folder)
    tensors, counters = _read(folder / FILE)
    try:
        model.load_state_dict(_under("model.", tensors))
    except RuntimeError as error:
        raise RefusedError(f"{folder} holds another model: {error}") from None
    if average is not None:
        _load_average(folder, average, _under("average.", tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _under("optimizer.", tensors).items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return counters


def has_checkpoint(folder: Path) -> bool:
    """Whether an epoch has ended in `folder`."""
    return (folder / FILE).is_file()


def require_checkpoint(folder: Path) -> None:
    """Raise `RefusedError` where there is no checkpoint."""
    if not has_checkpoint(folder):
        raise RefusedError(f"no checkpoint at {folder / FILE}; the run ended before its first epoch did")


def _load_average(folder: Path, average: WeightAverage, tensors: dict[str, Tensor]) -> None:
    if tensors.keys() != average.values.keys():
        raise RefusedError(
            f"{folder} holds no average of these weights, which training.ema asks for; leave it unset, or start anew"
        )
    for name, tensor in tensors.items():
        average.values[name].copy_(tensor)


def _read(path: Path) -> tuple[dict[str, Tensor], Counters]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, Any] = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            counters = Counters(**parse_json(metadata["counters"]))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RefusedError(f"{path} is no checkpoint of this program ({error}); start the run anew") from None
    checked(path)
    return tensors, counters


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
