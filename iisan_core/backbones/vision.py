"""Image backbones: any vision model that the auto classes load, and the vision tower of joint models.

Over frames sampled from a video, whose pooled states are averaged, they are video backbones, too.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor, nn

from iisan_core.backbones.base import Backbone, Batch, LoadedBatch, Source, chunks, of_extra, readable
from iisan_core.backbones.probes import tokens_before_patches
from iisan_core.config.schema import Modality, Precision
from iisan_core.data.dataset import frame_files
from iisan_core.data.pictures import UNREADABLE, read_picture

DEFAULT_FRAMES = 8

FRAMES = "frames"
"""Among a batch's tensors: how many frames each video has, int64 [B]; their pictures stand one after the other."""

NO_PYAV = (
    'video files are decoded by PyAV, which is not installed: pip install "iisan-workbench[video]"; folders of frames '
    "need nothing"
)


class ImageBackbone(Backbone):
    """Processor and model. Pictures are read as RGB and brought to the processor's size, or to `size` pixels."""

    modality: ClassVar[Modality] = "image"
    poolings: tuple[str, ...] = ("cls", "mean")

    def __init__(
        self, model: nn.Module, source: Source, *, processor: Any, compute_dtype: Precision = "float32"
    ) -> None:
        self._processor = processor
        # Models with learned positions serve another picture size only if asked to interpolate.
        self._interpolates = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
        self.first_tokens = tokens_before_patches(model)
        if not self.first_tokens:
            self.poolings = ("mean",)
        super().__init__(model, source, compute_dtype=compute_dtype)

    def batches(self, inputs: Sequence[Path], *, batch_size: int, size: int | None, prompt: str = "") -> Iterator[Batch]:
        """Plan batches of pictures, in the given order, `size` × `size` pixels each (None: the processor's own)."""
        for positions in chunks(range(len(inputs)), batch_size):
            yield Batch(positions, partial(self._load, positions, [inputs[p] for p in positions], size))

    def _load(self, positions: list[int], paths: list[Path], size: int | None) -> LoadedBatch:
        problems: dict[int, str] = {}
        given = zip(positions, paths, strict=True)
        pictures = readable(given, read_picture, problems, what="picture", errors=UNREADABLE)
        pixels = {position: self._pixels(picture, size) for position, picture in pictures}
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
        return self.model(pixels, output_hidden_states=output_hidden_states, return_dict=True, **options)

    def _resized(self, pixels: Tensor) -> bool:
        config: Any = self.model.config
        return bool(getattr(config, "image_size", None) not in (None, pixels.shape[-1]))


class VideoBackbone(ImageBackbone):
    """Processor and model of pictures. A video is a folder of frames, or a file that PyAV decodes."""

    modality = "video"

    def batches(self, inputs: Sequence[Path], *, batch_size: int, size: int | None, prompt: str = "") -> Iterator[Batch]:
        """Plan batches of videos, in the given order, `size` frames of each (None: 8), about `batch_size` in all."""
        frames = size or DEFAULT_FRAMES
        for positions in chunks(range(len(inputs)), max(1, batch_size // frames)):
            yield Batch(positions, partial(self._load_videos, positions, [inputs[p] for p in positions], frames))

    def pooled(self, tensors: dict[str, Tensor], *, layers: Sequence[int], pooling: str) -> Tensor:
        """Pooled states of each frame, averaged over the frames of each video: `[B, ΣD]`."""
        pictures = {name: tensor for name, tensor in tensors.items() if name != FRAMES}
        states = super().pooled(pictures, layers=layers, pooling=pooling)
        counts = tensors[FRAMES].tolist() if FRAMES in tensors else [len(states)]
        return torch.stack([of_one.mean(dim=0) for of_one in states.split(counts)])

    def _load_videos(self, positions: list[int], paths: list[Path], frames: int) -> LoadedBatch:
        def read(path: Path) -> Tensor:
            return torch.stack([self._pixels(frame, None) for frame in read_frames(path, frames)])

        problems: dict[int, str] = {}
        given = zip(positions, paths, strict=True)
        pixels = dict(readable(given, read, problems, what="video", errors=UNREADABLE))
        if not pixels:
            return LoadedBatch([], {}, problems)
        counts = torch.tensor([len(of_one) for of_one in pixels.values()])
        return LoadedBatch(list(pixels), {"pixel_values": torch.cat(list(pixels.values())), FRAMES: counts}, problems)


def read_frames(path: Path, count: int) -> list[Image.Image]:
    """`count` frames spread evenly over a video, or all where it has fewer; RGB.

    Raises `OSError` or `ValueError` if there is none to be had, `RefusedError` if PyAV is needed and not installed.
    """
    if path.is_dir():
        files = frame_files(path)
        if not files:
            raise ValueError(f"{path.name} holds no frames")
        return [read_picture(files[place]) for place in spread(len(files), count)]
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    return _decoded(path, count)


def spread(total: int, count: int) -> list[int]:
    """The middles of `count` equal stretches of 0 … total − 1, each place once."""
    return sorted({(2 * part + 1) * total // (2 * count) for part in range(count)})


def _decoded(path: Path, count: int) -> list[Image.Image]:
    av = of_extra("av", NO_PYAV)
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError("it has no pictures")
            stream = container.streams.video[0]
            # Packets are told apart without decoding them; their times say which frames there are.
            times = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
            if not times:
                raise ValueError("it has no frames")
            return [_frame_at(container, stream, times[place]) for place in spread(len(times), count)]
    except av.FFmpegError as error:
        raise ValueError(str(error)) from error


def _frame_at(container: Any, stream: Any, time: int) -> Image.Image:
    """The frame shown at `time`, in the stream's units, from the key frame before it."""
    container.seek(time, stream=stream)
    shown = None
    for frame in container.decode(stream):
        if shown is not None and frame.pts > time:
            break
        shown = frame
        if frame.pts == time:
            break
    if shown is None:
        raise ValueError("a frame cannot be decoded")
    picture: Image.Image = shown.to_image()
    return picture
