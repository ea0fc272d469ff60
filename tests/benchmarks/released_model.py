"""Towers, user encoder and loss in the form of the released programs, with our weights put in.

Every slot of a batch passes the towers, padding and repeated items, too; heads are two linears in a row; the loss
takes out each user's own items in a Python loop, writing into the logits that autograd watches: backward copies the
gradient of all logits [B · S, B · (S + 1)] once per user, 512 times 115 MB at batch 512.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iisan_core.model.recommender import RecommenderModel
from tests.benchmarks.released_users import ReleasedUsers

TEMPERATURE = 0.1
MASKED = -1e4


class Block(nn.Module):
    def __init__(self, ours: nn.Module, activation: str) -> None:
        super().__init__()
        self.down, self.up = _linear(ours.down), _linear(ours.up)
        self.activation = {"gelu": nn.GELU(), "relu": nn.ReLU()}[activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.activation(self.down(x))) + x


class ReleasedModel(nn.Module):
    """Built from one of our models with image and text, equal widths and stacked heads."""

    def __init__(self, ours: RecommenderModel, *, layers: list[int]) -> None:
        super().__init__()
        config, towers = ours.shape.config, ours.items.towers
        self.layers = layers
        self.blocks = nn.ModuleDict(
            {n: nn.ModuleList(Block(b, config.activation) for b in t.block) for n, t in towers.items()}
        )
        self.gates = nn.ParameterDict({n: nn.Parameter(t.gate.detach().clone().flatten()) for n, t in towers.items()})
        self.heads = nn.ModuleDict(
            {n: nn.Sequential(_linear(h.inner), _linear(h.outer)) for n, h in ours.items.heads.items()}
        )
        self.fusion = _linear(ours.items.fusion)
        self.users = ReleasedUsers(ours.users)

    def encode(self, image: Tensor, text: Tensor) -> Tensor:
        """All layers of all slots, [n, layers, D] each → item vectors [n, E]."""
        hidden = {"image": image, "text": text}
        states = {name: torch.zeros_like(image[:, 0]) for name in ("image", "text", "inter")}
        for k, layer in enumerate(self.layers):
            share = {name: torch.sigmoid(gate[k] / TEMPERATURE) for name, gate in self.gates.items()}
            for name, h in hidden.items():
                mixed = share[name] * h[:, layer] + (1 - share[name]) * states[name]
                states[name] = self.blocks[name][k](mixed)
            both = share["inter"] * image[:, layer] + (1 - share["inter"]) * text[:, layer]
            states["inter"] = self.blocks["inter"][k](states["inter"] + both)
        return self.fusion(torch.cat([self.heads[n](states[n]) for n in ("image", "text", "inter")], dim=1))

    def forward(self, items: Tensor, mask: Tensor, image: Tensor, text: Tensor, log_q: Tensor) -> Tensor:
        """Item numbers [B, S + 1], real inputs [B, S], states [B, S + 1, layers, D], log q [N + 1] → the loss."""
        B, S = mask.shape
        flat = items.reshape(-1)
        vectors = self.encode(image.flatten(0, 1), text.flatten(0, 1))
        sequence = vectors.view(B, S + 1, -1)[:, :-1]
        users = self.users(sequence, mask).reshape(B * S, -1)
        labels = torch.tensor([i * S + i + j for i in range(B) for j in range(1, S + 1)])
        logits = users @ vectors.t() - log_q[flat]
        logits[:, torch.cat([mask, torch.ones(B, 1)], dim=1).view(-1) == 0] = MASKED
        logits = logits.view(B, S, -1)
        for i in range(B):
            own = items[i]
            everybody = flat.repeat(S).expand(len(own), -1)
            rejected = own.expand(everybody.shape[1], len(own)).t()
            masked = (everybody == rejected).any(dim=0).reshape(logits[i].shape)
            for j in range(S):
                masked[j][i * (S + 1) + j + 1] = False
            logits[i][masked] = MASKED
        real = torch.where(mask.view(-1) != 0)
        return nn.functional.cross_entropy(logits.view(B * S, -1)[real], labels[real])


def _linear(ours: nn.Linear) -> nn.Linear:
    copy = nn.Linear(ours.in_features, ours.out_features)
    copy.load_state_dict(ours.state_dict())
    return copy
