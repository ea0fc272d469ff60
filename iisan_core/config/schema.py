"""The configuration of a run: small typed groups, checked at the door.

A run's `config.yaml` is exactly a `RunConfig`. Every field says in one sentence what it does; unknown keys and
wrong types are refused by pydantic, all faults at once, in sentences.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

import yaml
from pydantic import Field, model_validator

from iisan_core.config.base import IDS as IDS
from iisan_core.config.base import INTER as INTER
from iisan_core.config.base import DeviceChoice as DeviceChoice
from iisan_core.config.base import Modality as Modality
from iisan_core.config.base import Precision as Precision
from iisan_core.config.base import Strict as Strict
from iisan_core.config.base import parse_yaml as parse_yaml
from iisan_core.config.base import renamed as renamed
from iisan_core.config.base import validated as validated
from iisan_core.config.places import config_read, config_written
from iisan_core.config.protocol import PAPER_FORM as PAPER_FORM
from iisan_core.config.protocol import ProtocolConfig as ProtocolConfig
from iisan_core.config.protocol import SplitKind as SplitKind
from iisan_core.config.training import VALIDATION_USERS as VALIDATION_USERS
from iisan_core.config.training import TrainingConfig as TrainingConfig
from iisan_core.config.training import tower_of
from iisan_core.errors import RefusedError
from iisan_core.files import write_text

DEFAULT_MODALITY_DROPOUT = 0.1

Head: TypeAlias = Literal["linear", "stacked", "stacked-versa"]

Method: TypeAlias = Literal["cached", "uncached", "lora", "adapter", "bitfit", "full"]


class ModelConfig(Strict):
    """The shape of the model; layers and widths come from the caches."""

    bottleneck: int = Field(64, ge=1, description="r: the width inside a SAN block.")
    inter_bottleneck: int | None = Field(
        None, ge=1, description="The same for the SAN over all modalities; unset: as the others'."
    )
    bottlenecks: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="Modality → r of its own SAN, where it is another than the others'."
    )
    embedding: int = Field(64, ge=1, description="E: the width of item and user vectors.")
    activation: Literal["gelu", "relu"] = Field("gelu", description="The activation inside a SAN block.")
    head: Head = Field(
        "linear",
        description="D→E, or the released programs' two linears without activation between: D→D→E, or `stacked-versa`, "
        "D→E→E and only after the SAN over all modalities D→D→E (IISAN-Versa).",
    )
    adapter: Literal["san", "linear", "mlp"] = Field(
        "san",
        description="What adapts the frozen states: SANs, or (as baselines) the last layer alone through its head, or "
        "through one hidden layer and its head.",
    )
    intra: bool = Field(True, description="One SAN per modality; without meaning for another adapter.")
    inter: bool = Field(True, description="One SAN over all modalities; needs at least two of them, and SANs.")
    gates: Literal["learned", "even"] = Field(
        "learned", description="How SAN blocks weigh what they mix: by learned gates, or evenly for good (to compare)."
    )
    transformation: Literal["block", "shared", "frozen"] = Field(
        "block",
        description="Dimension transformation of wider modalities: one linear per inter block, one for all blocks, or "
        "per block but left random (to compare).",
    )
    layers: dict[str, str] = Field(
        default_factory=dict,
        description="Modality → which of its cached layers are read, in the words of `iisan extract --layers`, "
        "numbered from 0 as they lie in the cache; unset: all of them.",
    )
    ids: bool = Field(
        False, description="One learned vector per item, added to what is learned from its states; SASRec without any."
    )
    standardize: bool = Field(
        False, description="Bring every cached number to mean 0, deviation 1 over the catalogue before the SANs."
    )
    initial_scale: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Size of the fusion's weights at the start, against Xavier's. Where states are standardized, small "
        "ones start from nearly even chances instead of strong random ones, and learn in fewer epochs.",
    )
    modality_dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of modalities hidden in training; unset: 0.1 where items have gaps.",
    )
    user_encoder: Literal["sasrec", "gru4rec", "hstu"] = Field(
        "sasrec",
        description="What reads a user's items in order: self-attention, a recurrent network, or HSTU's pointwise "
        "attention with a bias by distance.",
    )
    blocks: int = Field(2, ge=1, description="Transformer blocks of the user encoder; of `gru4rec` its layers.")
    heads: int = Field(
        2, ge=1, description="Attention heads of the user encoder; they divide `embedding`. `gru4rec` has none."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout of the user encoder.")

    @model_validator(mode="after")
    def _shapes_fit(self) -> ModelConfig:
        if self.embedding % self.heads:
            raise ValueError(
                f"embedding {self.embedding} is not divisible by heads {self.heads}; choose heads that divide it"
            )
        if not (self.intra or self.inter):
            raise ValueError("intra and inter are both off, so nothing adapts; switch at least one on")
        return self

    def towers(self, modalities: Sequence[str]) -> list[str]:
        """What encodes items of these modalities, in fusion order: a name each, `inter` for the SAN over all."""
        if self.adapter != "san" or len(modalities) < 2:
            return list(modalities)
        return [*(modalities if self.intra else ()), *((INTER,) if self.inter else ())]

    def dropout_for(self, missing: Collection[str]) -> float:
        """The modality dropout in force where these modalities are `missing` of some items."""
        if self.modality_dropout is not None:
            return self.modality_dropout
        return DEFAULT_MODALITY_DROPOUT if missing else 0.0


class BaselineConfig(Strict):
    """A recommender that is counted instead of trained."""

    kind: Literal["popular", "item-knn"] = Field(
        description="`popular`: the same items for everybody; `item-knn`: items that stand with those of the history."
    )
    neighbours: int = Field(200, ge=1, description="The most similar items of each item that item-kNN keeps.")
    shrink: float = Field(20.0, ge=0, description="Users in common at which item-kNN believes half of a similarity.")
    recency: float = Field(0.8, gt=0, le=1, description="What an item of the history weighs against the next newer.")


class CorruptionConfig(Strict):
    """What is done to one modality's states, to see what a model makes of it."""

    kind: Literal["dropped", "shuffled", "noise"] = Field(
        description="`dropped`: taken away; `shuffled`: swapped between items; `noise`: as much again, at random."
    )
    share: float = Field(ge=0, le=1, description="Of the items.")
    seed: int = Field(0, ge=0, description="Chooses the items.")


class MethodOptions(Strict):
    """What the methods that work inside the backbones have beyond a run's configuration."""

    learning_rate: float = Field(1e-4, gt=0, description="For what is trained inside the backbones.")
    lora_rank: int = Field(8, ge=1, description="Rank of the LoRA matrices beside query and value.")
    lora_alpha: float = Field(16.0, gt=0, description="LoRA's scale is alpha / rank.")
    adapter_bottleneck: int = Field(64, ge=1, description="r of the two adapters in each layer.")
    gradient_checkpointing: bool = Field(
        False, description="Compute each layer again in the backward pass instead of keeping its activations."
    )


class RunConfig(Strict):
    """Everything that decides what a run computes.

    Example:
        >>> config = RunConfig(dataset="shop", caches={"text": "caches/text"}, training={"epochs": 5})
        >>> config.recommender, config.model.embedding, config.training.epochs
        ('text', 64, 5)
    """

    dataset: Path = Field(description="The dataset folder.")
    caches: dict[str, Path] = Field(
        default_factory=dict, description="Modality → hidden-state cache, in fusion order; none for ids alone."
    )
    protocol: ProtocolConfig = ProtocolConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    corruption: dict[str, CorruptionConfig] = Field(
        default_factory=dict, description="Modality → what is done to its states before they are read (to compare)."
    )
    baseline: BaselineConfig | None = Field(
        None, description="A recommender that is counted; `model` and `training` are not used then."
    )
    start_from: Path | None = Field(
        None, description="Another run, whose best weights this one starts from; unset: from random ones."
    )

    @property
    def recommender(self) -> str:
        """What the run trains or counts, in a few words: its towers, or the baseline."""
        if self.baseline is not None:
            return self.baseline.kind
        towers = " + ".join([*self.model.towers(list(self.caches)), *((IDS,) if self.model.ids else ())])
        return towers if self.model.adapter == "san" or not self.caches else f"{towers}, {self.model.adapter}"

    @model_validator(mode="before")
    @classmethod
    def _older_names(cls, values: Any) -> Any:
        """`corruption` was called `damage`."""
        if isinstance(values, dict) and isinstance(values.get("damage"), dict):
            values = {**values, "corruption": (values.get("corruption") or {}) | values["damage"]}
            del values["damage"]
        return values

    @model_validator(mode="after")
    def _something_learns(self) -> RunConfig:
        if self.baseline is not None:
            if self.caches:
                raise ValueError(f"the baseline {self.baseline.kind} reads no states; leave caches out")
            if self.start_from is not None:
                raise ValueError(f"the baseline {self.baseline.kind} has no weights; leave start_from out")
            return self
        strangers = self.model.layers.keys() - self.caches.keys()
        if strangers:
            raise ValueError(f"model.layers names {min(strangers)}, which has no cache; there are {list(self.caches)}")
        if not (self.caches or self.model.ids):
            raise ValueError("no caches and model.ids is off, so items have no vectors; name a cache or switch ids on")
        if self.model.adapter == "san" and not self.model.intra and len(self.caches) == 1:
            raise ValueError("model.intra is off and there is one modality, so nothing adapts; switch intra on")
        return self

    @model_validator(mode="after")
    def _towers_are_known(self) -> RunConfig:
        """Presets may speak of modalities that a dataset lacks; what is no modality at all is a slip of the pen."""
        known = {*self.caches, *get_args(Modality), INTER}
        named = {
            tower: f"training.learning_rates: {part}"
            for part in self.training.learning_rates
            if (tower := tower_of(part)) is not None
        }
        named |= {name: f"model.bottlenecks: {name}" for name in self.model.bottlenecks}
        strangers = named.keys() - known
        if strangers and self.baseline is None:
            first = min(strangers)
            raise ValueError(f"{named[first]} names {first}, which has no cache; there are {', '.join(sorted(known))}")
        return self

    def unlearnable(self) -> dict[str, str]:
        """Place → why nothing would be learned with its value: no run is begun so, though older ones are read."""
        if self.baseline is None and self.training.loss == "in_batch" and self.training.batch_size == 1:
            why = "a batch of 1 holds no item of somebody else to tell the next one from, so the loss is always 0"
            return {"training.batch_size": f"{why}; choose at least 2, better 64 or more"}
        return {}

    def refuse_unlearnable(self) -> RunConfig:
        """The same configuration; raises `RefusedError` if nothing would be learned with it."""
        for place, why in self.unlearnable().items():
            raise RefusedError(f"{place}: {why}")
        return self

    def with_absolute_paths(self) -> RunConfig:
        """The same configuration, whose paths mean the same from every folder."""
        caches = {name: path.resolve() for name, path in self.caches.items()}
        start = self.start_from and self.start_from.resolve()
        return self.model_copy(update={"dataset": self.dataset.resolve(), "caches": caches, "start_from": start})


def load_config(path: Path) -> RunConfig:
    """Read a YAML configuration.

    Args:
        path: such as a run's `config.yaml`, whose paths may be relative to its workspace.

    Returns:
        The configuration, what it leaves out at its defaults.

    Raises:
        RefusedError: the file is absent, no YAML, or no configuration; names every fault at once.

    Example:
        >>> load_config(run.path / "config.yaml") == run.config()
        True
    """
    return validated(RunConfig, config_read(read_yaml(path), record=path, strict=False), where=str(path))


def save_config(config: RunConfig, path: Path) -> None:
    """Write a configuration as YAML, every value spelled out in the order of the classes; places as `places` says."""
    values = config_written(config.model_dump(mode="json"), record=path)
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def flat_settings(config: RunConfig) -> dict[str, str]:
    """Dotted key, such as `model.bottleneck` → value in YAML's spelling."""
    return dict(_flattened(config.model_dump(mode="json")))


def _flattened(group: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in group.items():
        if isinstance(value, Mapping) and value:
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            spelled = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
            yield prefix + key, spelled.removesuffix("\n").removesuffix("\n...")


def refuse_another(found: RunConfig, asked: RunConfig, *, where: object, remedy: str) -> None:
    """Raise `RefusedError`, naming the settings, if what is `found` is not what is `asked` for now."""
    if found == asked:
        return
    before, now = flat_settings(found), flat_settings(asked)
    differing = [
        f"{key} is {before.get(key, 'unset')} there, {now.get(key, 'unset')} now"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key)
    ]
    raise RefusedError(
        f"{where} was trained with another configuration than is asked for now ({'; '.join(differing)}); {remedy}, or "
        "ask for what is there with --set"
    )


def read_yaml(path: Path) -> Any:
    """Parse a YAML file; raises `RefusedError` if it is absent or no YAML."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RefusedError(f"no configuration at {path}: the file does not exist") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise RefusedError(f"{path} is not valid YAML: {error}") from None
