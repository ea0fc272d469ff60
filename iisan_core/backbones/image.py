"""Image backbones: any vision model that the auto classes load, and the vision tower of joint models."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor, nn

from iisan_core.backbones.base import Backbone, Batch, ComputeDtype, LoadedBatch, Modality, Source, chunks

CLASS_TOKENS = {"cls_token", "class_token", "class_embedding"}
"""Names of the learned vector that stands before the patches, where a model has one."""


class ImageBackbone(Backbone):
    """Processor and model. Pictures are read as RGB and brought to the processor's size, or to `size` pixels."""

    modality: ClassVar[Modality] = "image"
    poolings: tuple[str, ...] = ("cls", "mean")

    def __init__(
        self, model: nn.Module, source: Source, *, processor: Any, compute_dtype: ComputeDtype = "float32"
    ) -> None:
        self._processor = processor
        # Models with learned positions serve another picture size only if asked to interpolate.
        self._interpolates = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
        if CLASS_TOKENS.isdisjoint(name.rpartition(".")[2] for name, _ in model.named_parameters()):
            self.poolings = ("mean",)
        super().__init__(model, source, compute_dtype=compute_dtype)

    def batches(self, inputs: Sequence[Path], *, batch_size: int, size: int | None) -> Iterator[Batch]:
        """Plan batches of pictures, in the given order, `size` × `size` pixels each (None: the processor's own)."""
        for positions in chunks(range(len(inputs)), batch_size):
            yield Batch(positions, partial(self._load, positions, [inputs[p] for p in positions], size))

    def _load(self, positions: list[int], paths: list[Path], size: int | None) -> LoadedBatch:
        pixels: dict[int, Tensor] = {}
        problems: dict[int, str] = {}
        for position, path in zip(positions, paths, strict=True):
            try:
                picture = read_picture(path)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                problems[position] = f"unreadable picture: {error}"
            else:
                pixels[position] = self._pixels(picture, size)
        tensors = {"pixel_values": torch.stack(list(pixels.values()))} if pixels else {}
        return LoadedBatch(list(pixels), tensors, problems)

    def _pixels(self, picture: Image.Image, size: int | None) -> Tensor:
        sizes = {} if size is None else {"size": self._sized(size), "crop_size": {"height": size, "width": size}}
        values: Tensor = self._processor(picture, return_tensors="pt", **sizes)["pixel_values"][0]
        return values

    def _sized(self, size: int) -> dict[str, int]:
        own = dict(self._processor.size)
        return {"shortest_edge": size} if "shortest_edge" in own else {"height": size, "width": size}

    def example(self) -> dict[str, Tensor]:
        """One black picture."""
        return {"pixel_values": self._pixels(Image.new("RGB", (64, 64)), None).unsqueeze(0)}

    def _forward(self, tensors: dict[str, Tensor], *, output_hidden_states: bool = False) -> Any:
        pixels = tensors["pixel_values"].to(getattr(torch, self.compute_dtype))
        options = {"interpolate_pos_encoding": True} if self._interpolates and self._resized(pixels) else {}
        return self._model(pixels, output_hidden_states=output_hidden_states, return_dict=True, **options)

    def _resized(self, pixels: Tensor) -> bool:
        config: Any = self._model.config
        return bool(getattr(config, "image_size", None) not in (None, pixels.shape[-1]))


def read_picture(path: Path) -> Image.Image:
    """Decode a picture file to RGB, transparency on white; raises `OSError` or `ValueError` if it is none."""
    with Image.open(path) as picture:
        if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA"):
            layered = picture.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
        return picture.convert("RGB")
