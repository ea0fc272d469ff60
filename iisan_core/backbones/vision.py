"""Image backbones: any vision model that the auto classes load, and the vision tower of joint models."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import ExifTags, Image
from torch import Tensor, nn

from iisan_core.backbones.base import Backbone, Batch, LoadedBatch, Source, chunks, readable
from iisan_core.backbones.probes import FAILURES
from iisan_core.config.schema import Modality, Precision
from iisan_core.data.pictures import UNREADABLE, read_picture
from iisan_core.errors import RefusedError, first_sentence

PIXELS = "pixel_values"

MORE: dict[str, tuple[str, ...]] = {
    "image_grid_thw": ("grid_thw",),
    "pixel_attention_mask": ("patch_attention_mask",),
    "spatial_shapes": (),
    "image_sizes": (),
    "image_merge_sizes": ("merge_sizes",),
}
"""What some processors say of a picture beside its pixels, and what else models call it."""


class ImageBackbone(Backbone):
    """Processor and model. Pictures are read as RGB and brought to the processor's size, or to `size` pixels.

    Where a processor keeps the pictures' shapes, those of equal size only come together. Where it says more of a
    picture than its pixels – a grid, which patches are real –, and where it makes a list of patches of it, pictures
    come one by one. Of pictures that it cuts into tiles, the whole one is read.
    """

    modality: ClassVar[Modality] = "image"
    poolings: tuple[str, ...] = ("mean",)

    def __init__(
        self, model: nn.Module, source: Source, *, processor: Any, compute_dtype: Precision = "float32"
    ) -> None:
        self._processor = processor
        parameters = inspect.signature(model.forward).parameters
        # Models with learned positions serve another picture size only if asked to interpolate.
        self._interpolates = "interpolate_pos_encoding" in parameters
        self._given_as = {name: _called(name, parameters) for name in (PIXELS, *MORE)}
        if "aspect_ratio_ids" in parameters:
            raise RefusedError(
                f"{source.name} reads pictures as tiles, of which some are padding and are heard by all others; choose "
                "another backbone for pictures"
            )
        config: Any = model.config
        self._patch = _side(getattr(config, "patch_size", None))
        if getattr(config, "mask_ratio", 0) and "noise" in parameters:
            config.mask_ratio = 0.0
            self.reading = "every patch, none masked"
        super().__init__(model, source, compute_dtype=compute_dtype)

    def batches(
        self, inputs: Sequence[Path], *, batch_size: int, size: int | None, prompt: str = ""
    ) -> Iterator[Batch]:
        """Plan batches of pictures, in the given order, `size` × `size` pixels each (None: the processor's own)."""
        for positions in self._planned(inputs, 1 if self.one_by_one else batch_size, size):
            yield Batch(positions, partial(self._load, positions, [inputs[p] for p in positions], size))

    def check_size(self, size: int | None) -> None:
        """Raise `RefusedError` for a side that is smaller than a patch, or that the model does not take."""
        if size is None:
            return
        if self._patch and size < self._patch:
            raise RefusedError(
                f"pictures of {size} × {size} pixels are smaller than a patch of {self.name}, {self._patch} × "
                f"{self._patch}; choose an image size of at least {self._patch}, or leave it to the model"
            )
        try:
            tensors = self._tensors(Image.new("RGB", (size, size)), size)
            self.encode(tensors, layers=[self.n_layers], pooling="mean-all")
        except FAILURES as error:
            raise RefusedError(
                f"{self.name} does not take pictures of {size} × {size} pixels ({first_sentence(error)}); leave the "
                "image size to the model, or choose another"
            ) from error

    def _planned(self, inputs: Sequence[Path], batch_size: int, size: int | None) -> Iterator[list[int]]:
        if batch_size == 1 or not self._keeps_shape(size):
            yield from chunks(range(len(inputs)), batch_size)
            return
        shapes = [shape_of(path) for path in inputs]
        by_shape = sorted(range(len(inputs)), key=shapes.__getitem__)
        for _, group in groupby(by_shape, key=shapes.__getitem__):
            yield from chunks(list(group), batch_size)

    def _keeps_shape(self, size: int | None) -> bool:
        """Whether a wide and a high picture become tensors of unequal shapes."""
        wide, high = (self._tensors(Image.new("RGB", shape), size)[PIXELS].shape for shape in ((96, 48), (48, 96)))
        return bool(wide != high)

    def _load(self, positions: list[int], paths: list[Path], size: int | None) -> LoadedBatch:
        problems: dict[int, str] = {}
        given = zip(positions, paths, strict=True)
        pictures = readable(given, read_picture, problems, what="picture", errors=UNREADABLE)
        made = {position: self._tensors(picture, size) for position, picture in pictures}
        names = next(iter(made.values()), {})
        tensors = {name: torch.cat([of_one[name] for of_one in made.values()]) for name in names}
        return LoadedBatch(list(made), tensors, problems)

    def _tensors(self, picture: Image.Image, size: int | None) -> dict[str, Tensor]:
        """What the model is given of a picture."""
        sizes = {} if size is None else {"size": self._sized(size), "crop_size": {"height": size, "width": size}}
        whole = {"do_image_splitting": False} if hasattr(self._processor, "do_image_splitting") else {}
        made = self._processor(picture, return_tensors="pt", **sizes, **whole)
        tensors = {name: made[name] for name in self._given_as if self._given_as[name] and name in made}
        if tensors[PIXELS].dim() == 5:  # tiles, the whole picture first
            tensors = {name: tensor[:, 0] for name, tensor in tensors.items()}
        if self._given_as["pixel_attention_mask"] == "patch_attention_mask" and "pixel_attention_mask" in tensors:
            tensors["pixel_attention_mask"] = self._patches_with(tensors["pixel_attention_mask"])
        return tensors

    def _patches_with(self, mask: Tensor) -> Tensor:
        """Which patches hold any real pixel, of a mask of pixels `[1, H, W]`: bool [1, H / patch, W / patch]."""
        pixels: Tensor = mask.unfold(1, self._patch, self._patch).unfold(2, self._patch, self._patch).sum(dim=(-1, -2))
        return pixels.bool()

    def _sized(self, size: int) -> dict[str, int]:
        own = dict(self._processor.size)
        return {"shortest_edge": size} if "shortest_edge" in own else {"height": size, "width": size}

    def example(self) -> dict[str, Tensor]:
        """One black picture."""
        return self._tensors(Image.new("RGB", (64, 64)), None)

    def other_example(self) -> dict[str, Tensor]:
        """A picture of noise."""
        noise = torch.randint(0, 256, (64, 64, 3), generator=torch.Generator().manual_seed(0))
        return self._tensors(Image.fromarray(noise.to(torch.uint8).numpy()), None)

    def _look_at_both(self, example: dict[str, Tensor], other: dict[str, Tensor], *, alone: Tensor) -> None:
        if set(example) - {PIXELS} or example[PIXELS].dim() != 4:
            self.one_by_one = True
            return
        super()._look_at_both(example, other, alone=alone)

    def _pooled_over(self, tensors: dict[str, Tensor]) -> Tensor | None:
        """Of pictures as lists of patches, those that are real."""
        mask = tensors.get("pixel_attention_mask")
        return None if mask is None else mask.flatten(1).long()

    def _forward(self, tensors: dict[str, Tensor], *, output_hidden_states: bool = False) -> Any:
        pixels = tensors[PIXELS].to(getattr(torch, self.compute_dtype))
        given: dict[str, Any] = {self._given_as[n]: t for n, t in tensors.items() if self._given_as.get(n)}
        given |= {self._given_as[PIXELS]: pixels}
        if self._interpolates and self._resized(pixels):
            given["interpolate_pos_encoding"] = True
        config: Any = self.model.config
        if self.reading and getattr(config, "mask_ratio", None) == 0:
            given["noise"] = self._in_place(pixels)
        return self.model(**given, output_hidden_states=output_hidden_states, return_dict=True)

    def _in_place(self, pixels: Tensor) -> Tensor:
        """What a model sorts its patches by before it masks some, so that all stay where they are: `[B, T]`."""
        patches = (pixels.shape[-1] // self._patch) * (pixels.shape[-2] // self._patch)
        return torch.arange(patches, device=pixels.device, dtype=torch.float32).expand(len(pixels), patches)

    def _resized(self, pixels: Tensor) -> bool:
        own = getattr(self.model.config, "image_size", None)
        sides = (own, own) if isinstance(own, int) else tuple(own or ())
        return len(sides) == 2 and pixels.dim() == 4 and tuple(pixels.shape[-2:]) != sides


def _called(name: str, parameters: Mapping[str, inspect.Parameter]) -> str:
    """What a model's forward calls something that a processor makes; empty where it takes no such thing."""
    if name == PIXELS:
        return PIXELS if PIXELS in parameters else next(iter(parameters))
    return next((own for own in (name, *MORE[name]) if own in parameters), "")


def _side(patch: Any) -> int:
    """The side of a configuration's patches in pixels; 0 where it names none."""
    sides = patch if isinstance(patch, list | tuple) else [patch]
    return max((side for side in sides if isinstance(side, int)), default=0)


def shape_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture as it will be read, told by its head; zeros where it is none."""
    try:
        with Image.open(path) as picture:
            turned = picture.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
            return picture.size[::-1] if turned else picture.size
    except UNREADABLE:
        return 0, 0
