"""The shape of a model: side networks, the further parts of a score, the user encoder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from iisan_core.config.base import INTER, WIDEST, Strict

DEFAULT_MODALITY_DROPOUT = 0.1

Head: TypeAlias = Literal["linear", "stacked", "stacked-versa"]


class ModelConfig(Strict):
    """The shape of the model; layers and widths come from the caches."""

    bottleneck: int = Field(64, ge=1, le=WIDEST, description="r: the width inside a SAN block.")
    inter_bottleneck: int | None = Field(
        None, ge=1, le=WIDEST, description="The same for the SAN over all modalities; unset: as the others'."
    )
    bottlenecks: dict[str, Annotated[int, Field(ge=1, le=WIDEST)]] = Field(
        default_factory=dict, description="Modality → r of its own SAN, where it is another than the others'."
    )
    embedding: int = Field(64, ge=1, le=WIDEST, description="E: the width of item and user vectors.")
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
    frozen: bool = Field(
        False,
        description="Add a frozen path to the score: how alike a candidate's cached states and those of the newest "
        "items are as they are.",
    )
    frozen_layers: dict[str, int] = Field(
        default_factory=dict,
        description="Modality → the cached layer that the frozen path reads, numbered from 0; unset: the last.",
    )
    frozen_width: int = Field(192, ge=1, le=WIDEST, description="The most columns of a modality on the frozen path.")
    frozen_whitening: float = Field(
        0.25,
        ge=0,
        le=0.5,
        description="How far the frozen path brings the directions of a layer's states to one weight: 0 leaves them as "
        "they are, 0.5 makes all alike.",
    )
    frozen_ages: int = Field(4, ge=1, le=WIDEST, description="How many of the newest items the frozen path weighs.")
    together: bool = Field(
        False,
        description="Add to the score which items stood together in training: item-kNN, counted and weighed by "
        "validation.",
    )
    user_encoder: Literal["sasrec", "gru4rec", "hstu"] = Field(
        "sasrec",
        description="What reads a user's items in order: self-attention, a recurrent network, or HSTU's pointwise "
        "attention with a bias by distance.",
    )
    blocks: int = Field(
        2, ge=1, le=1000, description="Transformer blocks of the user encoder; of `gru4rec` its layers."
    )
    heads: int = Field(
        2,
        ge=1,
        le=WIDEST,
        description="Attention heads of the user encoder; they divide `embedding`. `gru4rec` has none.",
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
