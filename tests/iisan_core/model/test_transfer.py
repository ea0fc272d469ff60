"""What a model takes over from another: by item id, by position, by name and shape; the rest is named."""

import pytest
import torch

from iisan_core.config.schema import ModelConfig
from iisan_core.errors import RefusedError
from iisan_core.model.recommender import ModelShape, RecommenderModel
from iisan_core.model.transfer import ID_VECTORS, transfer

WIDTHS = {"image": (8, 8), "text": (8, 8)}
POSITIONS = "users.position.weight"


def model(*, seed, widths=WIDTHS, max_history=3, items=4, **config):
    torch.manual_seed(seed)
    settings = ModelConfig(bottleneck=2, embedding=4, **({"ids": items > 0} | config))
    return RecommenderModel(ModelShape(widths=widths, max_history=max_history, items=items, config=settings))


def moved(new, old, *, ids="abcd", old_ids="abcd", **options):
    before = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    return transfer(new, old, item_ids=list(ids), source_item_ids=list(old_ids), **options), before


def test_all_of_an_equal_model_is_taken_over():
    new, old = model(seed=1), model(seed=0)
    found, _ = moved(new, old)
    assert found.fresh == {}
    assert found.in_part == {ID_VECTORS: "4 of 4 items, by their ids"}
    assert all(torch.equal(tensor, old.state_dict()[name]) for name, tensor in new.state_dict().items())


def test_id_vectors_go_by_item_id():
    new, old = model(seed=1, items=5), model(seed=0, items=4)
    found, before = moved(new, old, ids="xcbya", old_ids="abcd")
    vectors, theirs = new.state_dict()[ID_VECTORS], old.state_dict()[ID_VECTORS]
    for n, of in {2: 3, 3: 2, 5: 1}.items():
        assert torch.equal(vectors[n], theirs[of])
    for n in (1, 4):
        assert torch.equal(vectors[n], before[ID_VECTORS][n]), "a new item starts as any"
    assert not vectors[0].any()
    assert found.in_part[ID_VECTORS] == "3 of 5 items, by their ids"


@pytest.mark.parametrize(("here", "there"), [(5, 3), (3, 5)])
def test_positions_go_by_their_distance_from_the_newest(here, there):
    new, old = model(seed=1, max_history=here), model(seed=0, max_history=there)
    found, before = moved(new, old)
    kept = min(here, there)
    assert torch.equal(new.state_dict()[POSITIONS][-kept:], old.state_dict()[POSITIONS][-kept:])
    assert torch.equal(new.state_dict()[POSITIONS][:-kept], before[POSITIONS][:-kept])
    assert found.in_part[POSITIONS] == f"the newest {kept} of {here} positions"


def test_towers_that_read_other_states_start_fresh():
    new, old = model(seed=1), model(seed=0)
    found, before = moved(new, old, other_states=["text"])
    fresh = {name.split(".")[2] for name in found.fresh}
    assert fresh == {"text", "inter"}
    assert all(torch.equal(new.state_dict()[name], before[name]) for name in found.fresh)
    assert any(name.startswith("items.towers.image") for name in found.loaded)
    assert "items.fusion.weight" in found.loaded


def test_another_fusion_is_named_though_it_might_fit():
    new = model(seed=1, inter=False)
    old = model(seed=0, widths={"image": (8, 8), "audio": (8, 8)}, inter=False)
    found, _ = moved(new, old)
    assert found.fresh["items.fusion.weight"] == "it fuses image, text here and image, audio there"
    assert found.fresh["items.towers.text.gate"] == "the other model has none"
    assert new.state_dict()["items.fusion.weight"].shape == old.state_dict()["items.fusion.weight"].shape


def test_other_shapes_are_named():
    new, old = model(seed=1, blocks=3), model(seed=0)
    found, _ = moved(new, old)
    assert {name.split(".")[2] for name in found.fresh} == {"2"}
    deeper = model(seed=1, widths={"image": (8, 8), "text": (8, 8, 8)})
    found, _ = moved(deeper, old)
    assert found.fresh["items.towers.text.gate"] == "it is [3] here and [2] there"


def test_where_nothing_fits_it_is_refused():
    new = model(seed=1, items=0, inter=False, widths={"text": (8, 8)})
    narrow = ModelConfig(bottleneck=3, embedding=6, inter=False, heads=3)
    old = RecommenderModel(ModelShape(widths={"image": (6, 6)}, max_history=9, config=narrow))
    with pytest.raises(RefusedError, match="nothing of the other model fits this one: fresh: "):
        moved(new, old)
    assert moved(model(seed=2), model(seed=0))[0].in_words()[0].endswith("loaded, 1 in part, 0 fresh")
