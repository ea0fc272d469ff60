"""Video backbones: image backbones over frames sampled from a video, whose pooled states are averaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from iisan_core.backbones.base import Backbone, Batch, LoadedBatch, chunks, of_extra, readable
from iisan_core.backbones.vision import PIXELS, ImageBackbone
from iisan_core.data.dataset import frame_files
from iisan_core.data.pictures import UNREADABLE, read_picture
from iisan_core.errors import RefusedError

DEFAULT_FRAMES = 8

FRAMES = "frames"
"""Among a batch's tensors: how many frames each video has, int64 [B]; their pictures stand one after the other."""

NO_PYAV = (
    'video files are decoded by PyAV, which is not installed: pip install "iisan-workbench[video]"; folders of frames '
    "need nothing"
)


class VideoBackbone(ImageBackbone):
    """Processor and model of pictures. A video is a folder of frames, or a file that PyAV decodes."""

    modality = "video"

    def batches(
        self, inputs: Sequence[Path], *, batch_size: int, size: int | None, prompt: str = ""
    ) -> Iterator[Batch]:
        """Plan batches of videos, in the given order, `size` frames of each (None: 8), about `batch_size` in all."""
        frames = size or DEFAULT_FRAMES
        for positions in chunks(range(len(inputs)), max(1, batch_size // frames)):
            yield Batch(positions, partial(self._load_videos, positions, [inputs[p] for p in positions], frames))

    def example(self) -> dict[str, Tensor]:
        """A video of one black frame."""
        return super().example() | {FRAMES: torch.ones(1, dtype=torch.long)}

    def other_example(self) -> dict[str, Tensor]:
        """A video of one frame of noise."""
        return super().other_example() | {FRAMES: torch.ones(1, dtype=torch.long)}

    def check_size(self, size: int | None) -> None:
        """Any number of frames will do."""

    def _look_at_both(self, example: dict[str, Tensor], other: dict[str, Tensor], *, alone: Tensor) -> None:
        Backbone._look_at_both(self, example, other, alone=alone)

    def pooled(self, tensors: dict[str, Tensor], *, layers: Sequence[int], pooling: str) -> Tensor:
        """Pooled states of each frame, averaged over the frames of each video: `[B, ΣD]`."""
        pictures = {name: tensor for name, tensor in tensors.items() if name != FRAMES}
        every = [{n: t[i : i + 1] for n, t in pictures.items()} for i in range(len(pictures[PIXELS]))]
        shown = every if self.one_by_one else [pictures]
        states = torch.cat([super(VideoBackbone, self).pooled(t, layers=layers, pooling=pooling) for t in shown])
        counts = tensors[FRAMES].tolist() if FRAMES in tensors else [len(states)]
        return torch.stack([of_one.mean(dim=0) for of_one in states.split(counts)])

    def _load_videos(self, positions: list[int], paths: list[Path], frames: int) -> LoadedBatch:
        def read(path: Path) -> Tensor:
            made = [self._tensors(frame, None) for frame in read_frames(path, frames)]
            if len(made[0]) > 1 or made[0][PIXELS].dim() != 4:
                raise RefusedError(f"{self.name} does not read frames as plain pictures; choose another backbone")
            return torch.cat([of_one[PIXELS] for of_one in made])

        problems: dict[int, str] = {}
        given = zip(positions, paths, strict=True)
        pixels = dict(readable(given, read, problems, what="video", errors=UNREADABLE))
        if not pixels:
            return LoadedBatch([], {}, problems)
        counts = torch.tensor([len(of_one) for of_one in pixels.values()])
        return LoadedBatch(list(pixels), {PIXELS: torch.cat(list(pixels.values())), FRAMES: counts}, problems)


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
