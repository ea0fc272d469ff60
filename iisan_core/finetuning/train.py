"""A run's configuration as model and inputs of any method (cached, uncached, inside the backbones), and their training.

No run folder is written: this is what a comparison of methods asks for.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from iisan_core.backbones.base import Backbone
from iisan_core.backbones.layers import choose_layers
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.inputs import inputs_of
from iisan_core.cache.manifest import VECTORS
from iisan_core.cache.store import HiddenStateCache
from iisan_core.config.schema import Method, MethodOptions, RunConfig, TrainingConfig
from iisan_core.data.split import Split
from iisan_core.errors import RefusedError
from iisan_core.evaluation.metrics import summary
from iisan_core.evaluation.ranks import ranks_of
from iisan_core.finetuning.inputs import InputBank, prepare
from iisan_core.finetuning.model import BackboneTower, embedded_model
from iisan_core.model.inference import ItemInputs, item_table
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.device import choose_device, precision_of
from iisan_core.training.events import EpochEnded, Event
from iisan_core.training.fit import fit
from iisan_core.training.inputs import RunInputs


@dataclass(frozen=True)
class TrainingSetup:
    """All that a training loop needs, whatever the method."""

    model: RecommenderModel
    bank: ItemInputs
    split: Split
    training: TrainingConfig

    @property
    def trainable_parameters(self) -> int:
        """Numbers that the optimiser changes."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)


@dataclass(frozen=True)
class Outcome:
    """What training came to."""

    quality: dict[str, float]
    """Test metrics × 100 at the best epoch by validation HR@10."""
    valid: dict[str, float]
    """The same on the validation targets."""
    seconds_per_epoch: float
    """Median, without validation."""
    epochs: int
    best_epoch: int


def open_setup(
    config: RunConfig,
    method: Method,
    *,
    options: MethodOptions | None = None,
    backbones: Mapping[str, str | Path] | None = None,
    inputs: RunInputs | None = None,
) -> TrainingSetup:
    """Data, split and model of `config` for a method; backbones, pooling, layers and inputs are those of its caches.

    Args:
        config: a run's, with at least one cache.
        method: a name of `Method`.
        options: of methods that train inside the backbones.
        backbones: by modality where a backbone lies now, if not where the cache says that it lay.
        inputs: what the configuration names, where it is open already.

    Raises:
        RefusedError: anything cannot be opened, nothing would be learned, a backbone is another than the cache was made
            with, or `training.compile` is asked of a method that runs backbones.
    """
    config.refuse_unlearnable()
    if config.training.compile and method != "cached":
        raise RefusedError(
            f"training.compile is for cached states, and {method} runs its backbones as transformers has them; leave "
            "it off to compare methods"
        )
    inputs, options = inputs or RunInputs.open(config), options or MethodOptions()
    if not inputs.caches:
        raise RefusedError("without caches there is no backbone, so no method to compare; give at least one cache")
    device = choose_device(config.training.device)
    torch.manual_seed(config.training.seed)
    if method == "cached":
        return _cached(config, inputs, device)
    places = backbones or {}
    loaded = {name: _backbone(cache, places.get(name)) for name, cache in inputs.caches.items()}
    bank = _input_bank(inputs, loaded, device)
    towers = {
        name: _tower(loaded[name], cache, method, config.model.layers.get(name, "all"))
        for name, cache in inputs.caches.items()
    }
    model = embedded_model(
        method,
        towers,
        config.model,
        max_history=config.protocol.max_history,
        items=len(inputs.split.item_ids),
        missing=_missing(bank, config),
        options=options,
    ).to(device)
    model.fit_scale(bank)
    return TrainingSetup(model, bank, inputs.split, training_of(config.training, method, options))


def training_of(training: TrainingConfig, method: Method, options: MethodOptions) -> TrainingConfig:
    """The run's own settings; what is trained inside backbones has a learning rate of its own."""
    if method in ("cached", "uncached"):
        return training
    return training.model_copy(update={"san_learning_rate": options.learning_rate})


def _cached(config: RunConfig, inputs: RunInputs, device: torch.device) -> TrainingSetup:
    bank = inputs.states(device)
    model = RecommenderModel(inputs.shape(config, bank)).to(device)
    model.items.fit_scale(bank.states, bank.present)
    return TrainingSetup(model, bank, inputs.split, config.training)


def _backbone(cache: HiddenStateCache, place: str | Path | None) -> Backbone:
    manifest = cache.manifest
    if manifest.kind == VECTORS:
        raise RefusedError(
            f"the states {manifest.modality!r} came as vectors, without the model that made them, so there is nothing "
            "to fine-tune; train on their cache"
        )
    if manifest.kind == "joint":
        raise RefusedError(
            f"the states {manifest.modality!r} are of pictures and texts together, whose models are not fine-tuned "
            "here; train on their cache"
        )
    # Weights that are trained are kept in float32; `training.precision` decides the arithmetic.
    backbone = load_backbone(place or manifest.backbone, manifest.kind)
    if backbone.revision != manifest.revision:
        raise RefusedError(
            f"the backbone at {place or manifest.backbone} is revision {backbone.revision[:12]}, the cache "
            f"{cache.folder} was made with {manifest.revision[:12]}; name the folder of that one"
        )
    return backbone


def _tower(backbone: Backbone, cache: HiddenStateCache, method: Method, choice: str) -> BackboneTower:
    """The layers of the cache that a run reads, or – inside the backbone – the last of the cache."""
    cached = cache.manifest.layers
    layers = [cached[number] for number in choose_layers(choice, len(cached) - 1)]
    return BackboneTower(
        backbone, layers=layers if method == "uncached" else cached[-1:], pooling=cache.manifest.reduction
    )


def _missing(bank: InputBank, config: RunConfig) -> list[str]:
    """Modalities with a stand-in, as a run from caches has them: who asks for modality dropout gets all."""
    asked = bool(config.model.modality_dropout)
    return [name for name, present in bank.present.items() if asked or not bool(present.all())]


def _input_bank(inputs: RunInputs, backbones: Mapping[str, Backbone], device: torch.device) -> InputBank:
    sources, present = {}, {}
    for name, cache in inputs.caches.items():
        item_ids = inputs.split.item_ids
        manifest = cache.manifest
        found = inputs_of(inputs.dataset, manifest.kind, text_fields=manifest.text_fields)
        value_of = dict(zip(found.item_ids, found.values, strict=True))
        present[name] = torch.from_numpy(cache.present[cache.rows(item_ids)])
        size = manifest.input_size
        values = [value_of[i] for i in item_ids]
        sources[name] = prepare(backbones[name], values, present[name], size=size, prompt=manifest.prompt or "")
    return InputBank(sources, present, device)


def train_setup(setup: TrainingSetup) -> Outcome:
    """Train until patience or epochs run out, go back to the best epoch, rank the test targets."""
    *_, outcome = setup_events(setup)
    assert isinstance(outcome, Outcome), "it comes last"
    return outcome


def setup_events(setup: TrainingSetup) -> Iterator[Event | Outcome]:
    """What happens in `train_setup`, and its outcome at the end."""
    ended: list[EpochEnded] = []
    best: dict[str, Tensor] = {}
    on_best = partial(_keep_trained, best)
    for event in fit(setup.model, setup.bank, setup.split, setup.training, on_best=on_best):
        yield event
        if isinstance(event, EpochEnded):
            ended.append(event)
    setup.model.load_state_dict(best, strict=False)
    device, widest = next(setup.model.parameters()).device, setup.model.shape.widest
    precision = precision_of(setup.training, device=device, widest=widest)
    table = item_table(setup.model, setup.bank, precision=precision)
    quality = summary(ranks_of(setup.model, table, setup.split, "test"))
    last = ended[-1]
    valid = next(epoch.valid for epoch in ended if epoch.epoch == last.best_epoch)
    yield Outcome(quality, valid, statistics.median(e.seconds for e in ended), last.epoch, last.best_epoch)


def _keep_trained(best: dict[str, Tensor], model: RecommenderModel) -> None:
    """Copies, off the device, of what training changes; frozen weights are as they were."""
    best |= {name: p.detach().cpu().clone() for name, p in model.named_parameters() if p.requires_grad}
