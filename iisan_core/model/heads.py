"""Heads: from a SAN's last state to the common width E."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class StackedHead(nn.Module):
    """The released programs' head, `D → D → E` without activation between.

    Two linears in a row are one: the product of the weights is formed once per call ([E, D] · [D, D]), which is
    far cheaper than sending every item through the wide one, and has the same gradients.
    """

    def __init__(self, *, width: int, embedding: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, embedding)

    def forward(self, x: Tensor) -> Tensor:
        """[n, D] → [n, E]."""
        weight = self.outer.weight @ self.inner.weight
        bias = F.linear(self.inner.bias, self.outer.weight, self.outer.bias)
        return F.linear(x, weight, bias)


def make_head(kind: str, *, width: int, embedding: int) -> nn.Module:
    """`linear` (`D → E`) or `stacked` (`D → D → E`), Xavier-normal weights and zero biases."""
    head = nn.Linear(width, embedding) if kind == "linear" else StackedHead(width=width, embedding=embedding)
    for module in head.modules():
        if isinstance(module, nn.Linear):
            init_linear(module)
    return head


def init_linear(linear: nn.Linear, *, scale: float = 1.0) -> None:
    """Xavier-normal weight times `scale`, zero bias (method, section 4)."""
    nn.init.xavier_normal_(linear.weight, gain=scale)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
