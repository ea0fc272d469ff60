"""Pictures that are links out of the dataset folder, devices or pipes are refused before anything reads them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from data_tools.images import FolderImages
from data_tools.media import with_media
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError


@pytest.fixture
def dataset(catalogue: Callable[..., Dataset], tmp_path: Path) -> Dataset:
    (tmp_path / "outside").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "outside" / "private.png")
    return catalogue(["a", "b", "c"])


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def test_a_link_out_of_the_folder_is_refused_by_name(dataset: Dataset, tmp_path: Path) -> None:
    picture = dataset.folder / "images" / "1.png"
    replaced(picture, lambda path: path.symlink_to(tmp_path / "outside" / "private.png"))
    with pytest.raises(RefusedError, match=rf"{picture} is a link to .*private.png, outside of"):
        dataset.image_paths()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_devices_and_pipes_are_not_read(dataset: Dataset, make: Callable[[Path], object]) -> None:
    replaced(dataset.folder / "images" / "1.png", make)
    with pytest.raises(RefusedError, match=r"images/1.png is (neither a file nor a folder|a link to /dev/zero)"):
        dataset.image_paths()


def test_a_folder_of_pictures_that_lies_elsewhere_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    (dataset.folder / "images").rename(tmp_path / "outside" / "images")
    (dataset.folder / "images").symlink_to(tmp_path / "outside" / "images")
    with pytest.raises(RefusedError, match=r"images is a link to .*outside"):
        dataset.image_paths()


def test_links_within_the_folder_absent_files_and_circles_are_left_to_whoever_opens_them(dataset: Dataset) -> None:
    images = dataset.folder / "images"
    replaced(images / "0.png", lambda path: path.symlink_to(images / "1.png"))
    replaced(images / "2.png", lambda path: path.symlink_to(path))
    assert dataset.image_paths() == [images / f"{n}.png" for n in range(3)]
    (images / "2.png").unlink()
    assert dataset.image_paths() == [images / f"{n}.png" for n in range(3)]


def test_frames_of_a_video_are_looked_at_one_by_one(dataset: Dataset, tmp_path: Path) -> None:
    frames = dataset.folder / "video" / "a"
    frames.mkdir(parents=True)
    (frames / "1.png").symlink_to(tmp_path / "outside" / "private.png")
    with_video = Dataset(
        dataset.folder, dataset.card, dataset.items.with_columns(video=pl.lit("video/a")), pl.DataFrame()
    )
    with pytest.raises(RefusedError, match=r"a/1.png is a link to"):
        with_video.file_paths("video")


def test_imports_do_not_follow_links_out_of_what_was_named(tmp_path: Path) -> None:
    (tmp_path / "private.png").write_bytes(b"private")
    (tmp_path / "private.mp4").write_bytes(b"private")
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("a.png", "a.mp4"):
        (raw / name).symlink_to(tmp_path / f"private{Path(name).suffix}")
    (raw / "b.png").write_bytes(b"its own")
    (raw / "c.png").symlink_to(raw / "b.png")
    pictures = FolderImages(raw)
    assert list(pictures) == ["b.png", "c.png"]
    assert "a.png" not in pictures
    with pytest.raises(RefusedError, match="none of its 0 video files"):
        with_media(pl.DataFrame({"item_id": ["a"]}), raw, column="video")
