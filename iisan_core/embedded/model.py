"""The recommender whose item encoder holds the backbones; same user encoder, same scores, same loss."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from iisan_core.config import ModelConfig
from iisan_core.embedded.inputs import InputBank
from iisan_core.embedded.item_encoder import EmbeddedItemEncoder
from iisan_core.embedded.options import Method, MethodOptions
from iisan_core.embedded.tower import BackboneTower
from iisan_core.model.recommender_model import ModelShape, RecommenderModel


class EmbeddedModel(RecommenderModel):
    """A `RecommenderModel` whose item vectors come from backbones that run in every step."""

    items: EmbeddedItemEncoder  # type: ignore[assignment]

    def __init__(self, shape: ModelShape, backbones: Mapping[str, BackboneTower]) -> None:
        super().__init__(shape)
        self.items = EmbeddedItemEncoder(backbones, self.items)  # type: ignore[arg-type]

    @torch.no_grad()
    def fit_scale(self, bank: InputBank) -> None:
        """Measure the states of the whole catalogue, one pass through the backbones, where the model standardizes."""
        if not self.items.head.standardize:
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
    inputs: int,
    items: int,
    gaps: Collection[str] = (),
    options: MethodOptions | None = None,
) -> EmbeddedModel:
    """The model of any method but `cached`, on the CPU; modalities in fusion order, `inputs` is S, `items` N.

    Uncached IISAN has the side networks of `config`; methods that train inside the backbones have none, read the
    last of the towers' layers, and keep its scale. Raises `RefusedError` where a backbone does not offer what the
    method adapts.
    """
    if method != "uncached":
        for tower in backbones.values():
            tower.adapt(method, options or MethodOptions())
        config = config.model_copy(update={"adapter": "linear", "standardize": False})
    widths = {name: tuple(tower.widths) for name, tower in backbones.items()}
    shape = ModelShape(widths=widths, gaps=tuple(gaps), inputs=inputs, items=items if config.ids else 0, config=config)
    return EmbeddedModel(shape, backbones)
