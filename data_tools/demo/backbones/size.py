"""How large a demo backbone is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from iisan_core.errors import RefusedError

HEAD_WIDTH = 16


@dataclass(frozen=True)
class EncoderSize:
    """Depth and width of a transformer encoder; six narrow layers unless another is asked for."""

    layers: int = 6
    width: int = 64

    def __post_init__(self) -> None:
        if self.layers < 1 or self.width < HEAD_WIDTH or self.width % HEAD_WIDTH:
            raise RefusedError(
                f"a backbone of {self.layers} layers of width {self.width}: it needs at least one layer, and a width "
                f"that is a multiple of {HEAD_WIDTH}"
            )

    @property
    def settings(self) -> dict[str, Any]:
        """The same in the words of transformers' configurations."""
        return {
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.width // HEAD_WIDTH,
            "intermediate_size": 2 * self.width,
        }


DEMO_SIZE = EncoderSize()
"""The size of the backbones that `iisan demo` makes."""
