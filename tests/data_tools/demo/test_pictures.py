from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from data_tools.demo.parameters import MOTIFS, PALETTES, TEXTURES, Attributes
from data_tools.demo.pictures import HUES, SIDE, draw_picture

ITEM = Attributes(motif=0, palette=0, texture=0, product=0, material=0, season=0)


def drawn(attributes: Attributes, *, seed: int = 0) -> np.ndarray:
    return np.asarray(draw_picture(attributes, rng=np.random.default_rng(seed)))


def test_is_a_small_rgb_picture():
    picture = draw_picture(ITEM, rng=np.random.default_rng(0))
    assert picture.mode == "RGB"
    assert picture.size == (SIDE, SIDE)


def test_same_seed_same_picture_other_seed_another():
    np.testing.assert_array_equal(drawn(ITEM), drawn(ITEM))
    assert (drawn(ITEM) != drawn(ITEM, seed=1)).any()


@pytest.mark.parametrize("seed", range(3))
def test_reveals_nothing_of_what_the_title_says(seed):
    other = replace(ITEM, product=5, material=3, season=2)
    np.testing.assert_array_equal(drawn(ITEM, seed=seed), drawn(other, seed=seed))


@pytest.mark.parametrize(("field", "names"), [("motif", MOTIFS), ("palette", PALETTES), ("texture", TEXTURES)])
def test_every_visible_attribute_looks_different(field, names):
    pictures = [drawn(replace(ITEM, **{field: index})) for index in range(len(names))]
    assert len({picture.tobytes() for picture in pictures}) == len(names)


@pytest.mark.parametrize("palette", range(len(PALETTES)))
@pytest.mark.parametrize("motif", range(len(MOTIFS)))
def test_the_object_has_a_hue_of_its_palette(motif, palette):
    low, high = HUES[PALETTES[palette]]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        picture = draw_picture(replace(ITEM, motif=motif, palette=palette, texture=seed % 4), rng=rng)
        hue, saturation, _ = np.moveaxis(np.asarray(picture.convert("HSV"), dtype=float), -1, 0)
        degrees = hue[saturation > 0.45 * 255] * 360 / 255
        assert degrees.size > 300
        middle = np.median((degrees + 90) % 360 - 90)
        assert low - 3 <= middle <= high + 3


def test_hue_families_do_not_touch():
    ranges = sorted(HUES.values())
    gaps = [start - end for (_, end), (start, _) in pairwise(ranges)]
    assert min(gaps) >= 30


def test_the_object_stays_inside_the_picture():
    for motif in range(len(MOTIFS)):
        for seed in range(20):
            hsv = drawn(replace(ITEM, motif=motif), seed=seed)
            saturation = np.asarray(Image.fromarray(hsv).convert("HSV"))[..., 1].copy()
            saturation[1:-1, 1:-1] = 0
            assert saturation.max() < 0.45 * 255
