"""The recommender whose item encoder runs its backbones, adapted from within or frozen, in every step.

User encoder, scores and loss are those of the cached model.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from iisan_core.backbones.base import Backbone
from iisan_core.config.schema import IDS, Method, MethodOptions, ModelConfig
from iisan_core.errors import RefusedError
from iisan_core.finetuning.inputs import InputBank
from iisan_core.finetuning.methods import ADAPTATIONS
from iisan_core.model.frozen import FrozenEncoder
from iisan_core.model.item_encoder import IdVectors, ItemEncoder
from iisan_core.model.recommender import ModelShape, RecommenderModel


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


class EmbeddedItemEncoder(nn.Module):
    """Backbones, and the encoder of cached states on top of what they compute.

    On frozen backbones that encoder is IISAN as it is trained from a cache; on adapted ones, which need no side
    networks, it is one linear per modality and the fusion (`model.adapter: linear`).
    """

    def __init__(self, backbones: Mapping[str, BackboneTower], head: ItemEncoder) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict(dict(backbones))
        self.head = head

    @property
    def towers(self) -> nn.ModuleDict:
        """What has the towers' learning rate: adapted backbones, else the side networks."""
        adapted = any(tower.trains for tower in self.backbones.values())
        return self.backbones if adapted else self.head.towers

    @property
    def ids(self) -> IdVectors | None:
        """The id vectors, where the model has them."""
        return self.head.ids

    @property
    def frozen(self) -> FrozenEncoder | None:
        """The frozen path's item side, where the model has it."""
        return self.head.frozen

    def forward(self, inputs: Mapping[str, dict[str, Tensor]], present: Mapping[str, Tensor]) -> Tensor:
        """Modality → model inputs of its present items, and presence bool [n] → item vectors [n, E]."""
        return self.head(self.states(inputs, present), present)

    def states(self, inputs: Mapping[str, dict[str, Tensor]], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Modality → pooled states [n, ΣD], as a cache would hold them, and the item numbers."""
        states = {name: tower(inputs[name], present[name]) for name, tower in self.backbones.items()}
        return states | {IDS: inputs[IDS]["numbers"]}


class EmbeddedModel(RecommenderModel):
    """A `RecommenderModel` whose item vectors come from backbones that run in every step."""

    items: EmbeddedItemEncoder  # type: ignore[assignment]

    def __init__(self, shape: ModelShape, backbones: Mapping[str, BackboneTower]) -> None:
        super().__init__(shape)
        self.items = EmbeddedItemEncoder(backbones, self.items)  # type: ignore[arg-type]

    @torch.no_grad()
    def fit_scale(self, bank: InputBank) -> None:
        """Measure the states of the whole catalogue, one pass through the backbones, where the model measures them."""
        if not self.items.head.standardize and self.items.frozen is None:
            return
        self.eval()
        blocks = [self._states(bank, block) for block in bank.blocks(len(next(iter(bank.present.values()))))]
        states = {name: torch.cat([block[name] for block in blocks]) for name in bank.present}
        self.items.head.fit_scale(states, bank.present)

    def _states(self, bank: InputBank, items: Tensor) -> dict[str, Tensor]:
        return {name: states.cpu() for name, states in self.items.states(*bank.gather(items)).items()}


def embedded_model(
    method: Method,
    backbones: Mapping[str, BackboneTower],
    config: ModelConfig,
    *,
    max_history: int,
    items: int,
    missing: Collection[str] = (),
    options: MethodOptions | None = None,
) -> EmbeddedModel:
    """The model of any method but `cached`, on the CPU; modalities in fusion order, `max_history` is S, `items` N.

    Uncached IISAN has the side networks of `config`; methods that train inside the backbones have none, read the
    last of the towers' layers, keep its scale, and have no frozen path. Raises `RefusedError` where a backbone does
    not offer what the method adapts.
    """
    if method != "uncached":
        for tower in backbones.values():
            tower.adapt(method, options or MethodOptions())
        config = config.model_copy(update={"adapter": "linear", "standardize": False, "frozen": False})
    widths = {name: tuple(tower.widths) for name, tower in backbones.items()}
    shape = ModelShape(
        widths=widths,
        missing=tuple(missing),
        max_history=max_history,
        items=items if config.ids else 0,
        config=config,
    )
    return EmbeddedModel(shape, backbones)
