"""The configuration of a run: small typed groups, checked at the door.

A run's `config.yaml` is exactly a `RunConfig`. Every field says in one sentence what it does; unknown keys and
wrong types are refused by pydantic, all faults at once, in sentences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import yaml
from pydantic import Field, model_validator

from iisan_core.config.base import FROZEN as FROZEN
from iisan_core.config.base import IDS as IDS
from iisan_core.config.base import INTER as INTER
from iisan_core.config.base import TOGETHER as TOGETHER
from iisan_core.config.base import WIDEST
from iisan_core.config.base import DeviceChoice as DeviceChoice
from iisan_core.config.base import Modality as Modality
from iisan_core.config.base import Precision as Precision
from iisan_core.config.base import PrecisionChoice as PrecisionChoice
from iisan_core.config.base import StoredDtype as StoredDtype
from iisan_core.config.base import Strict as Strict
from iisan_core.config.base import parse_yaml as parse_yaml
from iisan_core.config.base import renamed as renamed
from iisan_core.config.base import validated as validated
from iisan_core.config.model import DEFAULT_MODALITY_DROPOUT as DEFAULT_MODALITY_DROPOUT
from iisan_core.config.model import Head as Head
from iisan_core.config.model import ModelConfig as ModelConfig
from iisan_core.config.places import config_read, config_written
from iisan_core.config.protocol import PAPER_FORM as PAPER_FORM
from iisan_core.config.protocol import ProtocolConfig as ProtocolConfig
from iisan_core.config.protocol import SplitKind as SplitKind
from iisan_core.config.training import HIGHEST_RATE, tower_of
from iisan_core.config.training import TRACKING as TRACKING
from iisan_core.config.training import VALIDATION_USERS as VALIDATION_USERS
from iisan_core.config.training import TrackerName as TrackerName
from iisan_core.config.training import TrainingConfig as TrainingConfig
from iisan_core.errors import RefusedError
from iisan_core.files import read_bytes, write_text

Method: TypeAlias = Literal["cached", "uncached", "lora", "adapter", "bitfit", "full"]


class BaselineConfig(Strict):
    """A recommender that is counted instead of trained."""

    kind: Literal["popular", "item-knn"] = Field(
        description="`popular`: the same items for everybody; `item-knn`: items that stand with those of the history."
    )
    neighbours: int = Field(200, ge=1, le=10**6, description="The most similar items of each item that item-kNN keeps.")
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

    learning_rate: float = Field(1e-4, gt=0, le=HIGHEST_RATE, description="For what is trained inside the backbones.")
    lora_rank: int = Field(8, ge=1, le=WIDEST, description="Rank of the LoRA matrices beside query and value.")
    lora_alpha: float = Field(16.0, gt=0, description="LoRA's scale is alpha / rank.")
    adapter_bottleneck: int = Field(64, ge=1, le=WIDEST, description="r of the two adapters in each layer.")
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
    members: list[Path] = Field(
        default_factory=list, description="Finished runs whose scores are blended; nothing is trained then."
    )
    start_from: Path | None = Field(
        None, description="Another run, whose best weights this one starts from; unset: from random ones."
    )

    @property
    def recommender(self) -> str:
        """What the run trains or counts, in a few words: its towers, or the baseline."""
        if self.baseline is not None:
            return self.baseline.kind
        if self.members:
            return f"blend of {len(self.members)}"
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
        if self.members:
            if self.caches:
                raise ValueError("a blend of runs reads no states; leave caches out")
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

    def settled_as(self, found: RunConfig) -> RunConfig:
        """The same configuration; a precision that is left open is the one of `found`, which was chosen so, or not."""
        return self.with_precision(found.training.precision) if self.training.precision == "auto" else self

    def with_precision(self, precision: PrecisionChoice) -> RunConfig:
        """The same configuration with this arithmetic."""
        return self.model_copy(update={"training": self.training.model_copy(update={"precision": precision})})

    def with_absolute_paths(self) -> RunConfig:
        """The same configuration, whose paths mean the same from every folder."""
        caches = {name: path.resolve() for name, path in self.caches.items()}
        start = self.start_from and self.start_from.resolve()
        places = {"dataset": self.dataset.resolve(), "caches": caches, "start_from": start}
        return self.model_copy(update=places | {"members": [path.resolve() for path in self.members]})


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
    """Write a configuration as YAML, every value spelled out in the order of the classes; places as `places` says.

    Where nobody is told of the run, nothing is said of trackers: its record is what it was before there were any.
    """
    untold = set() if config.training.trackers else set(TRACKING)
    values = config_written(config.model_dump(mode="json", exclude={"training": untold}), record=path)
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
    asked = asked.settled_as(found)
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
        return parse_yaml(read_bytes(path, what="configuration").decode("utf-8"))
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:  # dates and keys that are none, too
        raise RefusedError(f"{path} is not valid YAML: {error}") from None
