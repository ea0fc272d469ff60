"""Side-adapted networks: one per modality (intra), one over all of them (inter).

IISAN, section 3.2; for modalities of unequal width and depth IISAN-Versa, sections 3–4; method, section 3. Where
`fused.enabled()` stands, the same is computed by a faster form; what is computed is what stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iisan_core.errors import RefusedError
from iisan_core.model import fused

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu}
"""By `model.activation`."""

INITIAL_STD = 0.01
GATE_TEMPERATURE = 0.1


class SANB(nn.Module):
    """`SANB(x) = x + W_up · act(W_down · x)` with biases, almost the identity at the start."""

    def __init__(self, *, width: int, bottleneck: int, activation: str) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.activation = ACTIVATIONS[activation]
        for linear in (self.down, self.up):
            nn.init.normal_(linear.weight, std=INITIAL_STD)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[n, D] → [n, D], in the precision of `x`."""
        if fused.enabled():
            return fused.sanb(x, self.down, self.up, self.activation)
        narrow = self.activation(_linear(self.down, x))  # [n, r]
        return x + _linear(self.up, narrow)

    def mixing(self, state: Tensor, hidden: Tensor, share: Tensor) -> Tensor:
        """`SANB(share · hidden + (1 − share) · state)`: state and hidden [n, D], share [] → [n, D]."""
        if fused.enabled():
            return fused.mixing_sanb(state, hidden, share, self.down, self.up, self.activation)
        return self(hidden * share + state * (1 - share))


def _linear(linear: nn.Linear, x: Tensor) -> Tensor:
    """`linear(x)`, in the precision of `x`."""
    return F.linear(x, linear.weight.to(x.dtype), linear.bias.to(x.dtype))


class IntraSAN(nn.Module):
    """Adapts one modality: `s_k = SANB_k(γ_k · h_k + (1 − γ_k) · s_{k−1})`, `s_0 = 0`.

    Layers of another width than the last kept one (convolutional backbones) pass one linear each first.
    """

    def __init__(self, *, widths: Sequence[int], bottleneck: int, activation: str) -> None:
        super().__init__()
        self.width = widths[-1]
        self.align = aligned(widths, self.width)
        self.block = _blocks(len(widths), self.width, bottleneck, activation)
        self.gate = nn.Parameter(torch.zeros(len(widths)))

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Kept layers, each [n, D_l] → last state [n, D]."""
        (block, align, share, layer), *later = zip(self.block, self.align, self.shares(), layers, strict=True)
        state = block(align(layer) * share)  # s_0 = 0; share comes second, where torch on a CPU does not round it
        for block, align, share, layer in later:
            state = block.mixing(state, align(layer), share)  # type: ignore[operator]
        return state

    def shares(self) -> Tensor:
        """`γ = sigmoid(g / 0.1)`, [blocks]: each hidden state's share; the rest is the state so far."""
        return torch.sigmoid(self.gate / GATE_TEMPERATURE)


class InterSAN(nn.Module):
    """Mixes the *frozen* states of all modalities: `m_k = SANB_k(m_{k−1} + Σ_i γ_ki · h_ki)`, `m_0 = 0`.

    The weights `γ_k` are a softmax over `M − 1` free logits `g/0.1`, the last modality's fixed at 0; with two
    modalities in the order image, text that is `γ = sigmoid(g/0.1)` on the image and `1 − γ` on the text.
    The width is the narrowest modality's; every wider one has a dimension transformation layer (DTL) per
    block, or – `transformation` – one `shared` by all blocks, or one per block left as `frozen` as it was drawn.
    Lists of unequal length align at the top: last block with last layer.
    """

    def __init__(
        self,
        *,
        widths: Mapping[str, Sequence[int]],
        bottleneck: int,
        activation: str,
        transformation: str = "block",
    ) -> None:
        super().__init__()
        self.width = min(w[-1] for w in widths.values())
        depth = min(len(w) for w in widths.values())
        mixed = {name: list(w[-depth:]) for name, w in widths.items()}
        if transformation == "shared":
            mixed = {name: _one_width(w, name) for name, w in mixed.items()}
        self.dtl = nn.ModuleDict({name: aligned(w, self.width) for name, w in mixed.items()})
        self.dtl.requires_grad_(transformation != "frozen")
        self.block = _blocks(depth, self.width, bottleneck, activation)
        self.gate = nn.Parameter(torch.zeros(depth, len(widths) - 1))

    def forward(self, layers: Mapping[str, Sequence[Tensor]]) -> Tensor:
        """Modality → kept layers, each [n, D_l], in configuration order → last state [n, D]."""
        depth, shares = len(self.block), self.shares()
        last = layers[next(iter(self.dtl))][-1]
        state = last.new_zeros(last.shape[0], self.width)
        for k, block in enumerate(self.block):
            for share, (name, dtl) in zip(shares[k].to(state.dtype), self.dtl.items(), strict=True):
                linear = dtl[min(k, len(dtl) - 1)]  # type: ignore[arg-type,index]
                hidden = linear(layers[name][k - depth])
                state = torch.addcmul(state, hidden, share)  # m + γ · h
            state = block(state)
        return state

    def shares(self) -> Tensor:
        """`γ`, [blocks, M], in configuration order: each modality's share of a block's input."""
        free = self.gate / GATE_TEMPERATURE  # [blocks, M − 1]
        return torch.cat([free, free.new_zeros(len(free), 1)], dim=1).softmax(dim=1)


def aligned(widths: Sequence[int], width: int) -> nn.ModuleList:
    """One module per layer that brings it to `width`: a linear where it differs, else nothing."""
    return nn.ModuleList(nn.Identity() if w == width else nn.Linear(w, width) for w in widths)


def _one_width(widths: Sequence[int], name: str) -> list[int]:
    """The width that all layers share, as a list of one; raises `RefusedError` where they share none."""
    if len(set(widths)) > 1:
        raise RefusedError(
            f"model.transformation is shared, but the {name} layers have the widths {list(widths)}; one linear for all "
            "blocks needs layers of one width, choose block"
        )
    return [widths[0]]


def _blocks(count: int, width: int, bottleneck: int, activation: str) -> nn.ModuleList:
    return nn.ModuleList(SANB(width=width, bottleneck=bottleneck, activation=activation) for _ in range(count))
