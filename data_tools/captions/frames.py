"""Which pictures show an item: its own, or frames of its video."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from data_tools.captions.progress import Origin
from data_tools.images import SUFFIXES, UnreadableImageError, extension_of
from iisan_core.backbones.image import read_picture
from iisan_core.dataset import Dataset
from iisan_core.errors import RefusedError


def pictures_of(dataset: Dataset, *, origin: Origin, frames: int) -> dict[str, list[Path]]:
    """Item id → picture files, of the items that have any.

    `video` takes the catalogue's column `video`: the relative path of a folder of frames, which are put in order by
    their names; `frames` of them are taken at equal distances.
    Raises `RefusedError` if there is no such column, a path leaves the dataset folder or is no folder of pictures.
    """
    if origin == "image":
        paths = zip(dataset.items["item_id"], dataset.image_paths(), strict=True)
        return {item_id: [path] for item_id, path in paths if path is not None}
    if "video" not in dataset.items.columns:
        raise RefusedError(f"{dataset.folder}: the catalogue has no column `video`; caption pictures instead")
    named = dataset.items.select("item_id", "video").drop_nulls().iter_rows()
    return {item_id: spread(_frames_in(dataset, video), frames) for item_id, video in named}


def spread(paths: list[Path], count: int) -> list[Path]:
    """Up to `count` of `paths` at equal distances, from the middle of each part."""
    if len(paths) <= count:
        return paths
    return [paths[(2 * n + 1) * len(paths) // (2 * count)] for n in range(count)]


def open_pictures(paths: list[Path]) -> list[Image.Image]:
    """Decode picture files; raises `UnreadableImageError` for the first that is absent, damaged or a bomb."""
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UnreadableImageError(f"{path.name}: {error.strerror}") from None
        extension_of(data)
    return [read_picture(path) for path in paths]


def _frames_in(dataset: Dataset, video: str) -> list[Path]:
    folder = dataset.folder / video
    if not folder.resolve().is_relative_to(dataset.folder.resolve()):
        raise RefusedError(
            f"{dataset.folder}: video path {video!r} leaves the dataset folder; paths are relative to it"
        )
    if not folder.is_dir():
        raise RefusedError(
            f"{folder} is no folder of frames; take frames out of the video first, for example with "
            f"`ffmpeg -i {video} -vf fps=1 frames/%04d.jpg`, and name their folder in the column `video`"
        )
    frames = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not frames:
        raise RefusedError(f"{folder} holds no picture ({', '.join(sorted(SUFFIXES))}); put frames there")
    return frames
