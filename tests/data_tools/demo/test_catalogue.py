import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from data_tools.demo import catalogue as titles
from data_tools.demo.catalogue import compose_title
from data_tools.demo.parameters import MATERIALS, MOTIFS, PALETTES, PRODUCTS, SEASONS, TEXTURES, Attributes

ITEM = Attributes(motif=0, palette=0, texture=0, product=0, material=0, season=0)
SAYS_SEASON = {name: titles.SEASON_NAMES[name] + titles.OCCASIONS[name] for name in SEASONS}
SAYS_MATERIAL = titles.MATERIAL_NAMES

# Words that would tell what only the picture may show.
COLOURS = "red yellow green blue crimson scarlet gold golden amber azure navy emerald pink purple black white"
SHAPES = "circle round square triangle star cross ring plain stripes striped dots dotted checks checked"


def composed(attributes: Attributes, *, seed: int = 0) -> str:
    return compose_title(attributes, rng=np.random.default_rng(seed))


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def named(title: str, phrases: dict[str, tuple[str, ...]]) -> set[str]:
    """The names of which `title` holds a phrase as whole words."""
    found = {
        name
        for name, options in phrases.items()
        for option in options
        if re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", title, flags=re.IGNORECASE)
    }
    return found


def test_same_seed_same_title_other_seeds_other_titles():
    assert composed(ITEM) == composed(ITEM)
    assert len({composed(ITEM, seed=seed) for seed in range(50)}) > 40


def test_every_title_names_product_material_and_season_and_no_other():
    combinations = product(range(len(PRODUCTS)), range(len(MATERIALS)), range(len(SEASONS)), range(8))
    for of_product, of_material, of_season, seed in combinations:
        title = composed(replace(ITEM, product=of_product, material=of_material, season=of_season), seed=seed)
        assert named(title, titles.PRODUCT_NAMES) == {PRODUCTS[of_product]}, title
        assert named(title, SAYS_MATERIAL) == {MATERIALS[of_material]}, title
        assert named(title, SAYS_SEASON) == {SEASONS[of_season]}, title


@pytest.mark.parametrize("seed", range(3))
def test_reveals_nothing_of_what_the_picture_shows(seed):
    assert composed(replace(ITEM, motif=3, palette=2, texture=1), seed=seed) == composed(ITEM, seed=seed)


def test_no_word_names_a_colour_a_shape_or_a_pattern():
    forbidden = words(f"{COLOURS} {SHAPES} {' '.join(MOTIFS + PALETTES + TEXTURES)}")
    tables = (titles.PRODUCT_NAMES, titles.MATERIAL_NAMES, SAYS_SEASON)
    phrases = [phrase for table in tables for options in table.values() for phrase in options]
    phrases += [
        *titles.DETAILS.values(),
        *titles.CRAFTS.values(),
        *titles.TEMPLATES,
        *titles.MAKERS,
        *titles.ADJECTIVES,
        *titles.SIZES,
    ]
    assert not forbidden & words(" ".join(phrases))


def test_every_template_names_all_three():
    for template in titles.TEMPLATES:
        assert "{product}" in template and "{material}" in template
        assert "{season}" in template or "{occasion}" in template


def test_titles_start_with_a_capital():
    assert all(composed(ITEM, seed=seed)[0].isupper() for seed in range(30))
