"""Pictures of demo items: one object of a shape and a hue family on a light, patterned backdrop.

Shape, hue family and pattern are the item's motif, palette and texture. Place, size, rotation, shade and the
backdrop's tint are drawn at random and mean nothing; nothing depends on product, material or season.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from data_tools.demo.parameters import MOTIFS, PALETTES, TEXTURES, Attributes

SIDE = 64
"""Side of a picture in pixels."""
OVERSAMPLING = 4
"""Shapes are drawn this many times larger and averaged down, which makes their edges smooth."""
_PERIOD = 8 * OVERSAMPLING
"""Side of a backdrop pattern's cell on the oversized sheet."""

HUES = {"red": (-10.0, 10.0), "yellow": (42.0, 54.0), "green": (120.0, 155.0), "blue": (205.0, 232.0)}
"""Range of hues in degrees that an object of each palette can have."""

Points = NDArray[np.float64]
Rgb = tuple[int, int, int]


def draw_picture(attributes: Attributes, *, rng: np.random.Generator) -> Image.Image:
    """A 64×64 RGB product picture that shows motif, palette and texture; the rest is drawn from `rng`."""
    picture = _backdrop(TEXTURES[attributes.texture], rng=rng)
    outer = _silhouette(MOTIFS[attributes.motif], rng=rng)
    inner = outer.filter(ImageFilter.MinFilter(5))
    shadow = ImageChops.offset(outer, 1, 3).filter(ImageFilter.GaussianBlur(2))
    picture.paste((92, 88, 96), mask=shadow.point(lambda value: value * 0.45))
    hue = rng.uniform(*HUES[PALETTES[attributes.palette]])
    saturation, lightness = rng.uniform(0.6, 0.88), rng.uniform(0.48, 0.58)
    picture.paste(_rgb(hue, saturation=saturation, lightness=lightness - 0.1), mask=outer)
    light = Image.new("RGB", (SIDE, SIDE), _rgb(hue, saturation=saturation, lightness=lightness + 0.13))
    dark = Image.new("RGB", (SIDE, SIDE), _rgb(hue, saturation=saturation, lightness=lightness - 0.03))
    picture.paste(Image.composite(dark, light, _FALLING_LIGHT), mask=inner)
    return picture


_FALLING_LIGHT = Image.linear_gradient("L").resize((SIDE, SIDE))


def _rgb(hue: float, *, saturation: float, lightness: float) -> Rgb:
    red, green, blue = colorsys.hls_to_rgb(hue / 360 % 1, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


def _backdrop(texture: str, *, rng: np.random.Generator) -> Image.Image:
    hue, saturation = rng.uniform(0, 360), rng.uniform(0.05, 0.25)
    lightness = rng.uniform(0.91, 0.95)
    sheet = Image.new("RGB", (SIDE * OVERSAMPLING,) * 2, _rgb(hue, saturation=saturation, lightness=lightness))
    ink = _rgb(hue, saturation=saturation / 2, lightness=lightness - 0.2)
    _TEXTURES[texture](ImageDraw.Draw(sheet), ink, rng)
    return sheet.reduce(OVERSAMPLING)


def _draw_plain(draw: ImageDraw.ImageDraw, ink: Rgb, rng: np.random.Generator) -> None:
    """Leave the backdrop as it is."""


def _draw_stripes(draw: ImageDraw.ImageDraw, ink: Rgb, rng: np.random.Generator) -> None:
    side, start = SIDE * OVERSAMPLING, int(rng.integers(_PERIOD // 4))
    for left in range(start - side, side, _PERIOD):
        draw.line((left, side, left + side, 0), fill=ink, width=_PERIOD * 3 // 8)


def _draw_dots(draw: ImageDraw.ImageDraw, ink: Rgb, rng: np.random.Generator) -> None:
    size = _PERIOD * 5 // 8
    for row, _, left, top in _cells(rng=rng):
        x = left + row % 2 * _PERIOD // 2
        draw.ellipse((x, top, x + size, top + size), fill=ink)


def _draw_checks(draw: ImageDraw.ImageDraw, ink: Rgb, rng: np.random.Generator) -> None:
    for row, column, left, top in _cells(rng=rng):
        if (row + column) % 2:
            draw.rectangle((left, top, left + _PERIOD - 1, top + _PERIOD - 1), fill=ink)


def _cells(*, rng: np.random.Generator) -> Iterator[tuple[int, int, int, int]]:
    """Row, column, left and top of every cell of a grid that covers the sheet, moved by up to a quarter cell."""
    x, y = rng.integers(_PERIOD // 4, size=2)
    starts = range(-_PERIOD, SIDE * OVERSAMPLING, _PERIOD)
    for row, top in enumerate(starts):
        for column, left in enumerate(starts):
            yield row, column, left + int(x), top + int(y)


_TEXTURES: dict[str, Callable[[ImageDraw.ImageDraw, Rgb, np.random.Generator], None]] = {
    "plain": _draw_plain,
    "stripes": _draw_stripes,
    "dots": _draw_dots,
    "checks": _draw_checks,
}


def _silhouette(motif: str, *, rng: np.random.Generator) -> Image.Image:
    """The object's mask, an `L` image of 64×64, at a random place, size and small rotation."""
    centre = SIDE / 2 + rng.uniform(-1.5, 1.5, size=2)
    radius = rng.uniform(22, 24)
    angle = np.radians(rng.uniform(-6, 6))
    turn = radius * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    mask = Image.new("L", (SIDE * OVERSAMPLING,) * 2)
    draw = ImageDraw.Draw(mask)
    for points, fill in zip(_OUTLINES[motif], (255, 0), strict=False):
        placed = (points @ turn + centre) * OVERSAMPLING
        draw.polygon(placed.ravel().tolist(), fill=fill)
    return mask.reduce(OVERSAMPLING)


def _around(corners: int, *, radii: tuple[float, ...] = (1.0,)) -> Points:
    """Corners at equal angles, the first on top, at the given radii in turn: `[corners, 2]`."""
    angles = 2 * np.pi * np.arange(corners) / corners
    radius = np.resize(radii, corners)
    return np.stack([radius * np.sin(angles), -radius * np.cos(angles)], axis=1)


_CROSS_X = np.array([-1, 1, 1, 3, 3, 1, 1, -1, -1, -3, -3, -1]) / 3
_CROSS_Y = np.array([-3, -3, -1, -1, 1, 1, 3, 3, 1, 1, -1, -1]) / 3

# Outline, and hole if there is one, of each motif around the origin; sizes are balanced by eye.
_OUTLINES: dict[str, tuple[Points, ...]] = {
    "circle": (_around(48) * 0.93,),
    "square": (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.84,),
    "triangle": (_around(3) * 1.15 + np.array([0, 0.15]),),
    "star": (_around(10, radii=(1.2, 0.5)) + np.array([0, 0.08]),),
    "cross": (np.stack([_CROSS_X, _CROSS_Y], axis=1) * 1.02,),
    "ring": (_around(48), _around(48) * 0.55),
}
