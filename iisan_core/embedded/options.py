"""How backbones are adapted from within."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from iisan_core.validation import Strict

Method: TypeAlias = Literal["cached", "uncached", "lora", "adapter", "bitfit", "full"]


class MethodOptions(Strict):
    """What the methods that work inside the backbones have beyond a run's configuration."""

    learning_rate: float = Field(1e-4, gt=0, description="For what is trained inside the backbones.")
    lora_rank: int = Field(8, ge=1, description="Rank of the LoRA matrices beside query and value.")
    lora_alpha: float = Field(16.0, gt=0, description="LoRA's scale is alpha / rank.")
    adapter_bottleneck: int = Field(64, ge=1, description="r of the two adapters in each layer.")
    gradient_checkpointing: bool = Field(
        False, description="Compute each layer again in the backward pass instead of keeping its activations."
    )
