"""The registry: backbones that can be called by name, with what they are and need. The data is `registry.yaml`."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, Literal, TypeAlias

from pydantic import Field, model_validator

from iisan_core.config.schema import Strict, parse_yaml, validated
from iisan_core.errors import RefusedError

FILE = "registry.yaml"

Kind: TypeAlias = Literal[
    "encoder",
    "sentence encoder",
    "decoder",
    "transformer",
    "hierarchical transformer",
    "convolutional",
    "joint",
    "vision-language",
]


class TowerEntry(Strict):
    """The part of a model that encodes one modality; most models have one."""

    layers: int = Field(ge=1)
    """Without layer 0, the embedding output."""
    widths: tuple[int, ...]
    """D of each layer 0 … `layers`."""
    parameters: int = Field(ge=1)
    pooling: Literal["cls", "mean", "last"]
    """How tokens become one vector, unless the user says otherwise."""
    max_tokens: int | None = None
    """The longest text that the model was made for."""
    prompt: str = ""
    """What its makers put before every text that is compared with others of its kind."""
    image_size: int | None = None
    """Side in pixels of the pictures that the processor makes."""

    @model_validator(mode="before")
    @classmethod
    def _one_width_for_all(cls, value: Any) -> Any:
        if isinstance(value, dict) and "width" in value:
            value = dict(value)
            value["widths"] = (value.pop("width"),) * (value.get("layers", 0) + 1)
        return value

    @model_validator(mode="after")
    def _a_width_per_layer(self) -> TowerEntry:
        if len(self.widths) != self.layers + 1:
            raise ValueError(f"{self.layers} layers need {self.layers + 1} widths, found {len(self.widths)}")
        return self

    @property
    def width(self) -> int:
        """D of the last layer."""
        return self.widths[-1]


class BackboneEntry(Strict):
    """One model of the registry."""

    name: str
    """What it is called here."""
    hub_id: str
    family: str
    kind: Kind
    towers: dict[str, TowerEntry] = Field(min_length=1)
    """Modality → the part that encodes it."""
    total_parameters: int | None = Field(None, alias="parameters")
    stored: Literal["float32", "float16", "bfloat16"] = "float32"
    """The number format of the files on the hub."""
    gated: bool = False
    """Whether the hub gives it only to those who accepted its conditions."""
    remote_code: bool = False
    """Whether it needs `trust_remote_code`."""
    processor: str | None = None
    """Hub id of the image processor where the model brings none."""
    package: str | None = None
    """Python package that holds the weights, in its folder `model`."""
    extra: str | None = None
    """Extra of this project that installs `package`."""
    config: dict[str, Any] | None = None
    """Configuration that differs from the model type's defaults; enough to build the model without weights."""

    @property
    def modality(self) -> str:
        """`text`, `image` and so on, or `joint` where it has several towers or one that reads both."""
        return "joint" if len(self.towers) > 1 else next(iter(self.towers))

    @property
    def parameters(self) -> int:
        """Of the whole model, a language-model head not counted."""
        return self.total_parameters or sum(tower.parameters for tower in self.towers.values())

    def tower(self, modality: str) -> TowerEntry:
        """The part that encodes `modality`; raises `RefusedError` where there is none."""
        if modality not in self.towers:
            raise RefusedError(f"{self.name} has no {modality} tower; it encodes {', '.join(self.towers)}")
        return self.towers[modality]


class _Family(Strict):
    """Models of one make, as they stand together in the file."""

    family: str
    kind: Kind
    stored: str = "float32"
    gated: bool = False
    models: list[dict[str, Any]]


class _File(Strict):
    families: list[_Family]


@cache
def backbone_catalogue() -> tuple[BackboneEntry, ...]:
    """All entries, by family in the file's order."""
    text = (resources.files(__package__) / FILE).read_text(encoding="utf-8")
    file = validated(_File, {"families": parse_yaml(text)}, where=FILE)
    return tuple(
        validated(BackboneEntry, {**family.model_dump(exclude={"models"}), **model}, where=f"{FILE}: {family.family}")
        for family in file.families
        for model in family.models
    )


def find_entry(name: str) -> BackboneEntry | None:
    """The entry of that name or hub id, upper or lower case; None for a model that the registry does not list."""
    wanted = name.lower()
    found = (entry for entry in backbone_catalogue() if wanted in (entry.name, entry.hub_id.lower()))
    return next(found, None)
