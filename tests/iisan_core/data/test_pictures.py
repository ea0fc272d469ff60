"""Pictures as phones, scanners and shops leave them become the pixels that a person sees."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from data_tools.images import extension_of, shrunk
from iisan_core.cache.digests import fingerprints_of
from iisan_core.data.pictures import MAX_RATIO, UNREADABLE, as_rgb, read_picture, was_misread
from iisan_core.files import sha256_of_file

WIDE = np.arange(6 * 10 * 3, dtype=np.uint8).reshape(6, 10, 3)
"""Every pixel another."""

TURNS = {1: lambda a: a, 3: lambda a: a[::-1, ::-1], 6: lambda a: np.rot90(a, -1), 8: lambda a: np.rot90(a)}
"""EXIF orientation → what a viewer shows of stored pixels."""


def pixels(picture: Image.Image) -> NDArray[np.int16]:
    return np.asarray(picture).astype(np.int16)


def lying(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(WIDE).save(path, exif=exif)
    return path


@pytest.mark.parametrize("ending", [".png", ".tiff", ".webp"])
@pytest.mark.parametrize("orientation", TURNS)
def test_pictures_stand_upright(tmp_path: Path, orientation: int, ending: str) -> None:
    options = {"lossless": True} if ending == ".webp" else {}
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"turned{ending}"
    Image.fromarray(WIDE).save(path, exif=exif, **options)
    assert np.array_equal(pixels(read_picture(path)), TURNS[orientation](WIDE))
    with Image.open(path) as picture:  # as a new item that is in memory comes
        assert np.array_equal(pixels(as_rgb(picture)), TURNS[orientation](WIDE))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 257 * 7, 65535]], np.uint16), [0, 7, 255]),
        (np.array([[0, 7, 255]], np.int32), [0, 7, 255]),
        (np.array([[0, 257 * 7, 65535]], np.int32), [0, 7, 255]),
        (np.array([[0, 0.2, 1]], np.float32), [0, 51, 255]),
        (np.array([[np.nan, -3, 255]], np.float32), [0, 0, 255]),
    ],
    ids=["16 bits", "32 bits of 8", "32 bits of 16", "float to 1", "float to 255"],
)
def test_deep_grey_keeps_its_shades(tmp_path: Path, values: NDArray[np.generic], expected: list[int]) -> None:
    path = tmp_path / "deep.tiff"
    Image.fromarray(values).save(path)
    assert pixels(read_picture(path))[0].tolist() == [[value] * 3 for value in expected]


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    for ending, options in ((".gif", {}), (".webp", {"lossless": True}), (".png", {})):
        path = tmp_path / f"moving{ending}"
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)
        assert pixels(read_picture(path))[4, 4].tolist() == [255, 0, 0], ending


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    for mode in ("RGBA", "LA", "P"):
        clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0)).convert(mode)
        clear.save(tmp_path / "clear.png")
        assert (pixels(read_picture(tmp_path / "clear.png")) == 255).all(), mode


def test_a_line_and_a_bomb_are_no_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "line.png"
    Image.new("RGB", (MAX_RATIO, 1)).save(path)
    assert read_picture(path).size == (MAX_RATIO, 1)
    Image.new("RGB", (MAX_RATIO + 1, 1)).save(path)
    with pytest.raises(ValueError, match=rf"{MAX_RATIO + 1}×1 pixels: one side may be at most {MAX_RATIO} times"):
        read_picture(path)
    monkeypatch.setattr("iisan_core.data.pictures.MAX_PIXELS", MAX_RATIO)
    with pytest.raises(ValueError, match=rf"{MAX_RATIO + 1}×1 pixels, at most {MAX_RATIO} are read"):
        read_picture(path)


def test_only_what_was_misread_gets_another_fingerprint(tmp_path: Path) -> None:
    plain, turned, deep, text = (tmp_path / name for name in ("plain.png", "turned.png", "deep.png", "text.txt"))
    lying(plain, 1)
    lying(turned, 6)
    Image.fromarray(np.full((3, 3), 40_000, np.uint16)).save(deep)
    text.write_text("no picture")
    paths = [plain, turned, deep, text]
    changed = [
        found != sha256_of_file(path) for path, found in zip(paths, fingerprints_of(tmp_path, paths), strict=True)
    ]
    assert changed == [was_misread(path) for path in paths] == [False, True, True, False]


# The shared cases: files as users have them.


@pytest.fixture
def pictures(cases_folder: Path) -> Path:
    return cases_folder / "18-images" / "pics"


def test_a_lying_photograph_is_the_upright_one(pictures: Path) -> None:
    lying, upright = (pixels(read_picture(pictures / name)) for name in ("exif6.jpg", "upright.jpg"))
    assert np.abs(lying - upright).mean() < 2  # of 255: JPEG noise
    sideways = pixels(ImageOps.exif_transpose(Image.open(pictures / "upright.jpg")).rotate(90, expand=True))
    assert sideways.shape != upright.shape


def test_grey_of_16_bits_is_that_of_8(pictures: Path) -> None:
    deep, plain = (pixels(read_picture(pictures / name)) for name in ("gray16.png", "gray8.png"))
    assert np.abs(deep - plain).max() <= 1


@pytest.mark.parametrize("name", ["mpo.jpg", "cmyk.jpg", "anim.gif", "anim.webp", "avif.avif", "tiff.tiff", "noext"])
def test_whatever_holds_the_same_picture_looks_the_same(pictures: Path, name: str) -> None:
    found, plain = (pixels(read_picture(pictures / each)) for each in (name, "jpeg.jpeg"))
    assert np.abs(found - plain).mean() < 4
    data = (pictures / name).read_bytes()
    assert extension_of(data)
    small = pixels(read_picture(io.BytesIO(shrunk(data, longest_side=1000))))
    assert np.abs(small - found).mean() < 4


@pytest.mark.parametrize("name", ["cut.jpg", "zero.jpg", "html.jpg", "svg.svg", "huge.png", "strip.png"])
def test_what_is_no_picture_is_said_to_be_none(pictures: Path, name: str) -> None:
    with pytest.raises(UNREADABLE) as why:
        read_picture(pictures / name)
    assert str(why.value)


def test_a_strip_among_pictures_is_counted_with_its_size(cases_folder: Path) -> None:
    folder = cases_folder / "24-strip" / "pics"
    problems = {}
    for path in sorted(folder.iterdir()):
        try:
            read_picture(path)
        except UNREADABLE as error:
            problems[path.name] = str(error)
    assert list(problems) == ["3.png"]
    assert "12000×1 pixels" in problems["3.png"]
