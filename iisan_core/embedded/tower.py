"""A backbone as part of a model: run in every step, adapted from within or frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from iisan_core.backbones import Backbone
from iisan_core.embedded.adapters import ADAPTATIONS
from iisan_core.embedded.options import Method, MethodOptions
from iisan_core.errors import RefusedError


class BackboneTower(nn.Module):
    """Model inputs of some items → their pooled states, by the same code as an extraction.

    Frozen, it stays in eval mode and outside of the graph whatever the model around it does.
    """

    def __init__(self, backbone: Backbone, *, layers: Sequence[int], pooling: str) -> None:
        super().__init__()
        backbone.check(layers=layers, pooling=pooling)
        self.network = backbone.model
        self.layers, self.pooling = list(layers), pooling
        self.widths = [backbone.widths[layer] for layer in layers]
        self.trains = False
        self._backbone = backbone

    def adapt(self, method: Method, options: MethodOptions) -> None:
        """Let `method` train inside the backbone; what no kept state depends on stays frozen.

        Raises `RefusedError` where the backbone has nothing that the method could take hold of.
        """
        ADAPTATIONS[method](self._backbone, options)
        self.trains = True
        if options.gradient_checkpointing:
            self._checkpoint_layers()
        self._freeze_unused()

    def forward(self, inputs: dict[str, Tensor], present: Tensor) -> Tensor:
        """Inputs of the present items and presence bool [n] → states [n, ΣD]; zeros where absent."""
        if not inputs:
            return torch.zeros(len(present), sum(self.widths), device=present.device)
        with torch.set_grad_enabled(self.trains and torch.is_grad_enabled()):
            states = self._backbone.pooled(inputs, layers=self.layers, pooling=self.pooling)
        if len(states) == len(present):
            return states
        return states.new_zeros(len(present), sum(self.widths)).masked_scatter(present.unsqueeze(1), states)

    def train(self, mode: bool = True) -> BackboneTower:
        """A frozen backbone has no training mode: its dropout would change the states."""
        super().train(mode and self.trains)
        return self

    def _checkpoint_layers(self) -> None:
        network: Any = self.network
        if not getattr(network, "supports_gradient_checkpointing", False):
            raise RefusedError(
                f"{self._backbone.name} ({type(network).__name__}) has no gradient checkpointing; switch it off"
            )
        # The library has renamed it; the arguments' order is the same.
        enable = getattr(network, "activation_checkpointing_enable", None) or network.gradient_checkpointing_enable
        enable({"use_reentrant": False})

    def _freeze_unused(self) -> None:
        """Poolers, mask tokens, layers above the last kept one: an optimiser and a count should not see them."""
        trained = [p for p in self.network.parameters() if p.requires_grad]
        device = trained[0].device
        example = {name: tensor.to(device) for name, tensor in self._backbone.example().items()}
        states = self._backbone.pooled(example, layers=self.layers, pooling=self.pooling)
        gradients = torch.autograd.grad(states.sum(), trained, allow_unused=True)
        for parameter, gradient in zip(trained, gradients, strict=True):
            parameter.requires_grad_(gradient is not None)
