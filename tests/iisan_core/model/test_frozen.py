"""The frozen path against its slow form: cosines of centred states, summed over ages in a loop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from iisan_core.config.schema import ModelConfig
from iisan_core.errors import RefusedError
from iisan_core.model.frozen import FrozenProfile, FrozenVectors
from iisan_core.model.recommender import ModelShape, RecommenderModel

N, S, AGES = 12, 5, 3
WIDTHS = {"image": (6, 4), "text": (5, 5, 5)}


def catalogue() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(0)
    states = {name: torch.randn(N, sum(widths), generator=draw).half() for name, widths in WIDTHS.items()}
    present = {name: torch.ones(N, dtype=torch.bool) for name in states}
    present["image"][[2, 7]] = False
    return states, present


def made(**changes: object) -> RecommenderModel:
    torch.manual_seed(0)
    config = ModelConfig.model_validate(
        {"bottleneck": 4, "embedding": 8, "frozen": True, "frozen_ages": AGES, "frozen_width": 5, "frozen_whitening": 0}
        | changes
    )
    model = RecommenderModel(ModelShape(widths=WIDTHS, missing=("image",), max_history=S, config=config)).eval()
    model.items.fit_scale(*catalogue())
    return model


def centred(name: str, layer: int) -> Tensor:
    """What the method says of one layer, item by item; zeros where the item lacks the modality."""
    states, present = catalogue()
    start = sum(WIDTHS[name][:layer])
    rows = states[name][:, start : start + WIDTHS[name][layer]].float()
    mean = torch.stack([row for row, there in zip(rows, present[name], strict=True) if there]).mean(dim=0)
    unit = [(row - mean) / (row - mean).norm() for row in rows]
    return torch.stack([u if there else torch.zeros_like(u) for u, there in zip(unit, present[name], strict=True)])


@pytest.mark.parametrize(("name", "layer"), [("image", 1), ("image", 0), ("text", 2), ("text", 0)])
def test_products_of_frozen_vectors_are_those_of_centred_unit_states(name: str, layer: int) -> None:
    states, present = catalogue()
    model = made(frozen_layers={name: layer}, frozen_width=99)
    found = model.items(states, present)[:, model.frozen_columns[name]]
    expected = centred(name, layer)
    assert_close(found @ found.T, expected @ expected.T)


def test_fewer_columns_keep_as_much_of_the_products_as_so_few_can() -> None:
    """By Eckart and Young, no other choice of three columns comes nearer than the largest three singular vectors."""
    states, present = catalogue()
    vectors = FrozenVectors(columns=slice(5, 10), width=3, whitening=0)
    vectors.fit(states["text"], present["text"])
    left, singular, _ = torch.linalg.svd(centred("text", 1))
    nearest = F.normalize(left[:, :3] * singular[:3], dim=1)
    found = vectors(states["text"], present["text"])
    assert found.shape == (N, 3)
    assert_close(found @ found.T, nearest @ nearest.T)


def test_whitened_to_the_end_all_directions_weigh_the_same() -> None:
    """As far as unit length leaves them free: before it, the second moment is the identity."""
    states, present = catalogue()
    left, _, _ = torch.linalg.svd(centred("text", 1))
    vectors = FrozenVectors(columns=slice(5, 10), width=5, whitening=0.5)
    vectors.fit(states["text"], present["text"])
    found, expected = vectors(states["text"], present["text"]), F.normalize(left[:, :5], dim=1)
    assert_close(found @ found.T, expected @ expected.T)


def test_a_profile_is_the_weighted_sum_of_the_newest_items() -> None:
    profile = FrozenProfile(widths={"a": 2, "b": 3}, ages=AGES)
    with torch.no_grad():
        profile.weight["a"].copy_(torch.tensor([3.0, 2.0, 1.0]))
        profile.weight["b"].copy_(torch.tensor([0.5, -1.0, 0.25]))
    items, real = torch.randn(4, S, 5), torch.arange(S) >= torch.tensor([[0], [2], [4], [1]])
    expected = torch.zeros(4, S, 5)
    for user in range(4):
        for position in range(S):
            for age in range(AGES):
                if position - age >= 0 and real[user, position - age]:
                    expected[user, position, :2] += profile.weight["a"][age] * items[user, position - age, :2]
                    expected[user, position, 2:] += profile.weight["b"][age] * items[user, position - age, 2:]
    assert_close(profile(items, real), expected)
    assert_close(profile.newest(items, real), expected[:, -1])
    assert_close(profile.newest(items[:, -2:], real[:, -2:])[2], expected[2, -1], msg="the cut-off columns are padding")


def test_a_score_is_the_learned_one_and_the_frozen_ones() -> None:
    states, present = catalogue()
    model = made()
    slots = torch.tensor([[-1, -1, 3, 2, 5], [0, 1, 4, 6, 7]])
    users, vectors = model(states, present, slots)
    assert users.shape == (2, S, model.width) and vectors.shape == (N, model.width)
    E = model.shape.config.embedding
    learned = model.users(F.embedding(slots.clamp(min=0), vectors[:, :E]), slots >= 0)[:, -1] @ vectors[:, :E].T
    expected = learned.clone()
    for name, layer in (("image", 1), ("text", 2)):
        f = centred(name, layer)
        for user in range(2):
            for age in range(AGES):
                expected[user] += model.frozen.weight[name][age] * (f @ f[slots[user, S - 1 - age]])
    assert_close(users[:, -1] @ vectors.T, expected)
    sequence = F.embedding(slots.clamp(min=0), vectors)
    assert_close(model.newest(sequence, slots >= 0), users[:, -1])


def test_what_an_item_lacks_is_no_part_of_its_score() -> None:
    states, present = catalogue()
    model = made()
    vectors = model.items(states, present)
    assert not vectors[[2, 7]][:, model.frozen_columns["image"]].any()
    assert vectors[[2, 7]][:, model.frozen_columns["text"]].any(dim=1).all()


def test_weights_of_the_frozen_path_learn_with_the_rest() -> None:
    states, present = catalogue()
    model = made()
    users, vectors = model(states, present, torch.tensor([[-1, 0, 1, 3, 4]]))
    (users[:, -1] @ vectors.T).square().sum().backward()
    assert model.frozen is not None
    for weight in model.frozen.weight.values():
        assert weight.grad is not None and (weight.grad != 0).all()


def test_without_the_switch_nothing_is_there() -> None:
    model = made(frozen=False)
    assert model.frozen is None and model.frozen_columns == {} and model.width == 8
    assert not [name for name in model.state_dict() if "frozen" in name]


def test_a_layer_that_there_is_not_is_refused() -> None:
    with pytest.raises(RefusedError, match="frozen_layers names layer 3 of text; its cache has the layers 0 to 2"):
        made(frozen_layers={"text": 3})
