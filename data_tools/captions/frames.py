"""Which pictures show an item: its own, or frames of its video."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from data_tools.captions.progress import Origin
from data_tools.images import UnreadableImageError, extension_of
from iisan_core.backbones.vision import UNREADABLE, read_frames, read_picture
from iisan_core.data.dataset import Dataset


def files_of(dataset: Dataset, origin: Origin) -> dict[str, Path]:
    """Item id → its picture, or its video: a file, or a folder of frames; of the items that have one.

    Raises `RefusedError` if the catalogue has no such column.
    """
    paths = zip(dataset.items["item_id"], dataset.file_paths(origin), strict=True)
    return {item_id: path for item_id, path in paths if path is not None}


def open_pictures(path: Path, *, origin: Origin, frames: int) -> list[Image.Image]:
    """The picture, or up to `frames` frames spread evenly over a video; RGB.

    Raises `UnreadableImageError` if a file is absent, damaged or a decompression bomb.
    """
    try:
        if origin == "video":
            return read_frames(path, frames)
        extension_of(path.read_bytes())
        return [read_picture(path)]
    except UnreadableImageError:
        raise
    except UNREADABLE as error:
        raise UnreadableImageError(f"{path.name}: {getattr(error, 'strerror', None) or error}") from None
