from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from data_tools.demo.catalogue import LATE, draw_catalogue
from data_tools.demo.parameters import KINDS, MATERIALS, MOTIFS, PRODUCTS, STYLES, DemoWorld
from data_tools.demo.tastes import NOTHING, choose_items, draw_tastes

WORLD = DemoWorld(items=1200, users=1000)


@pytest.fixture(scope="module")
def drawn():
    return choices(WORLD)


def choices(world):
    catalogue = draw_catalogue(world, rng=np.random.default_rng(0))
    tastes = draw_tastes(world, rng=np.random.default_rng(1))
    return catalogue, tastes, choose_items(catalogue, tastes, world=world, rng=np.random.default_rng(2))


def near(share, *, of):
    """Within four standard errors of a share observed `of` times."""
    return pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / of))


def test_pairs_of_attributes_are_independent(drawn):
    catalogue, _, _ = drawn
    attributes = {name: values for name, values in catalogue.attributes.items() if name != "style"}
    for a, b in combinations(attributes, 2):
        table = np.histogram2d(attributes[a], attributes[b], bins=[np.unique(attributes[c]).size for c in (a, b)])[0]
        expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
        freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
        assert ((table - expected) ** 2 / expected).sum() < freedom + 5 * np.sqrt(2 * freedom), (a, b)


def test_popularity_is_a_moderate_power_law(drawn):
    weights = np.sort(drawn[0].popularity)[::-1]
    assert weights[0] / weights[99] == pytest.approx(100**WORLD.popularity_exponent)


def test_kinds_and_liked_values_are_balanced(drawn):
    _, tastes, _ = drawn
    assert np.bincount(tastes.kind).tolist() == [300, 300, 400]
    for kind, values in enumerate((MOTIFS, MATERIALS, STYLES)):
        counts = np.bincount(tastes.liked[tastes.kind == kind], minlength=len(values))
        assert counts.max() - counts.min() <= 1


def test_lengths_are_as_drawn(drawn):
    _, tastes, sequences = drawn
    assert ((sequences != NOTHING).sum(axis=1) == tastes.length).all()
    assert (np.bincount(tastes.length)[WORLD.shortest :] > 0).all()
    assert (tastes.length.min(), tastes.length.max()) == (WORLD.shortest, WORLD.longest)


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_choices_follow_taste_as_often_as_stated(drawn, kind):
    catalogue, tastes, sequences = drawn
    users = tastes.kind == kind
    attribute = catalogue.attributes[list(KINDS.values())[kind]]
    real = (sequences[users] != NOTHING) & (catalogue.launch[sequences[users]] != LATE)
    hits = (attribute[sequences[users]] == tastes.liked[users][:, None])[real]
    by_chance = 1 / (attribute.max() + 1)
    expected = WORLD.taste + (1 - WORLD.taste) * by_chance
    # What chance adds depends a little on who is popular and who was chosen already.
    assert hits.mean() == pytest.approx(expected, abs=0.02)


def test_products_follow_the_habit_as_often_as_stated(drawn):
    catalogue, _, sequences = drawn
    product = catalogue.attributes["product"][sequences]
    real = (sequences[:, 1:] != NOTHING) & (catalogue.launch[sequences[:, 1:]] != LATE)
    follows = ((product[:, :-1] + 1) % len(PRODUCTS) == product[:, 1:])[real]
    expected = WORLD.habit + (1 - WORLD.habit) / len(PRODUCTS)
    assert follows.mean() == pytest.approx(expected, abs=0.02)


def test_late_items_are_chosen_last_as_often_as_stated(drawn):
    catalogue, tastes, sequences = drawn
    late = (sequences != NOTHING) & (catalogue.launch[sequences] == LATE)
    last = sequences[np.arange(len(sequences)), tastes.length - 1]
    assert late.sum() == (catalogue.launch[last] == LATE).sum()
    assert late.any(axis=1).mean() == near(WORLD.late_choices, of=len(sequences))


def test_popular_items_are_chosen_more_often(drawn):
    catalogue, _, sequences = drawn
    counts = np.bincount(sequences[sequences != NOTHING], minlength=WORLD.items)
    regular = np.flatnonzero(catalogue.launch == 0)
    order = regular[np.argsort(-catalogue.popularity[regular])]
    tenth = len(order) // 10
    share = counts[order[:tenth]].sum() / counts[order].sum()
    weight = catalogue.popularity[order[:tenth]].sum() / catalogue.popularity[order].sum()
    # Less than by weight alone, because nobody chooses an item twice; far more than the tenth without weights.
    assert 2 * 0.1 < share < weight + 0.02


def test_a_world_of_taste_and_habit_alone_obeys_them_always():
    world = replace(WORLD, users=100, taste=1.0, habit=1.0, late_choices=0.0)
    catalogue, tastes, sequences = choices(world)
    real = sequences != NOTHING
    product = catalogue.attributes["product"][sequences]
    assert ((product[:, :-1] + 1) % len(PRODUCTS) == product[:, 1:])[real[:, 1:]].all()
    matches = np.take_along_axis(tastes.matches(catalogue), np.maximum(sequences, 0), axis=1)
    assert matches[real].all()


def test_the_smallest_world_offers_everybody_something():
    world = DemoWorld(items=64, users=200)
    _, tastes, sequences = choices(world)
    for row, length in zip(sequences, tastes.length, strict=True):
        assert len(set(row[:length].tolist())) == length
