"""Probes and likeness of layers, on states whose answers are known."""

import pytest
import torch

from iisan_core.cache.inspection import layer_similarity, probe_layers
from iisan_core.cache.store import HiddenStateCache
from iisan_core.errors import RefusedError


@pytest.fixture
def text(world) -> HiddenStateCache:
    return HiddenStateCache.open(world.caches["text"])


def test_a_probe_reads_what_the_states_show_and_nothing_else(world, text) -> None:
    ids = world.dataset.items["item_id"].to_list()
    shown = {item_id: f"class {n % world.classes}" for n, item_id in enumerate(ids)}
    found = probe_layers(text, shown)
    assert found["layer"].to_list() == [0, 1, 2]
    assert found["accuracy"].min() > 0.9
    draw = torch.Generator().manual_seed(0)
    coin = {item_id: str(torch.randint(2, (1,), generator=draw).item()) for item_id in ids}
    unrelated = probe_layers(text, coin)
    assert unrelated["accuracy"].mean() < 0.75
    assert unrelated["chance"].min() >= 0.5


def test_items_without_states_or_labels_are_left_out(world) -> None:
    image = HiddenStateCache.open(world.caches["image"])
    absent = set(image.absent)
    assert absent
    labels = {item_id: "no picture" if item_id in absent else "picture" for item_id in image.item_ids}
    with pytest.raises(RefusedError, match="at least two values on ten items with states; found 1 on 48"):
        probe_layers(image, labels)


def test_a_layer_is_like_itself_and_like_itself_turned(text, monkeypatch) -> None:
    likeness = layer_similarity(text)
    assert likeness.shape == (3, 3)
    assert torch.allclose(likeness.diagonal(), torch.ones(3), atol=1e-4)
    assert torch.allclose(likeness, likeness.T, atol=1e-4)
    gather = text.gather
    turn, _ = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(1)))

    def turned(rows):
        return torch.cat([7 * layer @ turn for layer in gather(rows).float().split(16, dim=1)], dim=1)

    other = HiddenStateCache.open(text.folder)
    monkeypatch.setattr(other, "gather", turned)
    assert torch.allclose(layer_similarity(text, other).diagonal(), torch.ones(3), atol=1e-3)


def test_a_layer_that_is_the_same_for_all_is_like_no_other(text, monkeypatch) -> None:
    gather = text.gather
    monkeypatch.setattr(
        text, "gather", lambda rows: torch.cat([torch.ones(len(rows), 16), gather(rows)[:, 16:]], dim=1)
    )
    assert layer_similarity(text)[0].tolist() == [0, 0, 0]


def test_two_modalities_are_compared_on_the_items_that_have_both(world, text) -> None:
    likeness = layer_similarity(HiddenStateCache.open(world.caches["image"]), text)
    assert likeness.shape == (3, 3)
    assert 0 < likeness.min() <= likeness.max() < 1
