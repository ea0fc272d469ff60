import torch
from torch.testing import assert_close

from iisan_core.config.schema import ModelConfig
from iisan_core.model.recommender import ModelShape, RecommenderModel

D, S, E = 16, 4, 8


def tiny():
    config = ModelConfig(bottleneck=4, embedding=E)
    torch.manual_seed(0)
    return RecommenderModel(ModelShape(widths={"image": (D, D), "text": (D, D)}, max_history=S, config=config)).eval()


def states(items):
    return (
        {name: torch.randn(items, 2 * D) for name in ("image", "text")},
        {name: torch.ones(items, dtype=torch.bool) for name in ("image", "text")},
    )


def test_the_published_number_of_trainable_parameters():
    shape = ModelShape(
        widths={"image": (768,) * 7, "text": (768,) * 7},
        max_history=10,
        config=ModelConfig(bottleneck=64, embedding=64, head="stacked"),
    )
    with torch.device("meta"):
        model = RecommenderModel(shape)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 4_113_877


def test_user_states_and_item_vectors_of_a_batch():
    model, inputs = tiny(), states(5)
    slots = torch.tensor([[-1, -1, 0, 1], [2, 3, 4, 2]])
    users, vectors = model(*inputs, slots)
    assert (users.shape, vectors.shape) == ((2, S, E), (5, E))
    assert_close(vectors, model.items(*inputs))
    assert_close(users[1], model.users(vectors[[2, 3, 4, 2]][None], torch.ones(1, S, dtype=torch.bool))[0])


def test_everything_can_learn_and_nothing_is_idle():
    model = tiny().train()
    users, vectors = model(*states(5), torch.tensor([[-1, 0, 1, 2], [2, 3, 4, 2]]))
    (users.square().sum() + vectors.square().sum()).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert idle == []


def test_bfloat16_keeps_float32_outside():
    model, inputs, slots = tiny(), states(5), torch.tensor([[0, 1, 2, 3]])
    expected = model(*inputs, slots)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(*inputs, slots)
    for rough, exact in zip(found, expected, strict=True):
        assert rough.dtype == torch.float32
        assert_close(rough, exact, rtol=0.1, atol=0.05)
    assert not torch.equal(found[1], expected[1]), "the item encoder did compute in bfloat16"
