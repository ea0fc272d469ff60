"""Several models as one: the sum of their scores, each at one scale and weighed.

A member's scores of a user are divided by their deviation over the catalogue (their mean is the same for all items, and
ranks nothing). The deviation follows from the user's state and the covariance of the item vectors, `√(pᵀ C p)`, so the
sum is still one inner product: item vectors side by side, and user states side by side, each at its scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from iisan_core.errors import RefusedError
from iisan_core.files import checked, replacing
from iisan_core.model.recommender import RecommenderModel
from iisan_core.model.saving import load_model, save_model

FILE = "ensemble.safetensors"

LEAST_DEVIATION = 1e-6
"""A member that tells no items apart is not blown up."""


class Ensemble(nn.Module):
    """Members, what each weighs, and how its item vectors vary.

    Args:
        members: Models of one catalogue and one number of inputs S.
    """

    weights: Tensor

    def __init__(self, members: Sequence[RecommenderModel]) -> None:
        super().__init__()
        self.models = list(members)
        self.members = nn.ModuleList(members)
        self.register_buffer("weights", torch.ones(len(members)))
        for number, member in enumerate(members):
            self.register_buffer(f"covariance_{number}", torch.zeros(member.width, member.width))

    @property
    def max_history(self) -> int:
        """S, the same for all members."""
        return self.models[0].max_history

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the members read, each once."""
        return tuple(dict.fromkeys(chain.from_iterable(model.modalities for model in self.models)))

    @property
    def columns(self) -> list[slice]:
        """Where each member's item vectors and user states lie."""
        ends = list(accumulate((model.width for model in self.models), initial=0))
        return [slice(*ends[n : n + 2]) for n in range(len(self.models))]

    @property
    def width(self) -> int:
        """Of item vectors and user states: those of all members."""
        return self.columns[-1].stop

    @property
    def learned_width(self) -> int:
        """Items are alike by all columns."""
        return self.width

    @property
    def frozen_columns(self) -> dict[str, slice]:
        """None of its own: the members' are within theirs."""
        return {}

    @torch.no_grad()
    def fit_scale(self, table: Tensor) -> None:
        """Measure the members' item vectors, side by side: [N + 1, E]."""
        for number, columns in enumerate(self.columns):
            self.get_buffer(f"covariance_{number}").copy_(torch.cov(table[1:, columns].double().T, correction=0))

    def newest(self, items: Tensor, real: Tensor) -> Tensor:
        """Item vectors [B, S, E] and real positions bool [B, S], padding on the left → user states [B, E]."""
        states = []
        for number, columns in enumerate(self.columns):
            state = self.models[number].newest(items[..., columns], real)
            covariance = self.get_buffer(f"covariance_{number}")
            deviation = torch.einsum("be,ef,bf->b", state, covariance, state).clamp(min=0).sqrt()
            states.append(self.weights[number] * state / deviation.clamp(min=LEAST_DEVIATION).unsqueeze(1))
        return torch.cat(states, dim=1)


def save_ensemble(ensemble: Ensemble, folder: Path) -> None:
    """Write every member into a folder of its own, and what binds them together."""
    for number, model in enumerate(ensemble.models):
        save_model(model, folder / str(number))
    own = {name: tensor.contiguous() for name, tensor in ensemble.named_buffers(recurse=False)}
    with replacing(folder / FILE) as path:
        save_file(own, path)


def load_ensemble(folder: Path) -> Ensemble:
    """What `save_ensemble` wrote, in eval mode on the CPU; raises `RefusedError` where something does not fit."""
    path = folder / FILE
    if not path.is_file():
        raise RefusedError(f"no ensemble at {path}; blend the runs anew")
    try:
        with safe_open(path, framework="pt") as file:
            own = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        ensemble = Ensemble([load_model(folder / str(number)) for number in range(len(own.get("weights", ())))])
        expected = {name: tensor.shape for name, tensor in ensemble.named_buffers(recurse=False)}
        if expected != {name: tensor.shape for name, tensor in own.items()}:
            raise RefusedError(f"{path} does not fit the models beside it; blend the runs anew")
    except SafetensorError as error:
        raise RefusedError(f"{path} is no safetensors file ({error}); blend the runs anew") from None
    checked(path)
    ensemble.load_state_dict(own, strict=False)
    return ensemble.eval()
