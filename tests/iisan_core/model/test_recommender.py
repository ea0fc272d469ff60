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


def test_trainable_parameters_of_the_asymmetric_form():
    """BERT-large and ViT-base: heads D→E→E within modalities, D→D→E between, one DTL per inter block."""
    text, image, r, E = 1024, 768, 64, 64
    config = ModelConfig(bottleneck=r, embedding=E, head="stacked-versa")
    shape = ModelShape(widths={"image": (image,) * 7, "text": (text,) * 7}, max_history=10, config=config)
    with torch.device("meta"):
        model = RecommenderModel(shape)

    def linear(inside, outside):
        return (inside + 1) * outside

    def san(width):
        return 7 * (linear(width, r) + linear(r, width) + 1)  # and a gate

    towers = san(image) + san(text) + san(image) + 7 * linear(text, image)
    heads = linear(image, E) + linear(text, E) + 2 * linear(E, E) + linear(image, image) + linear(image, E)
    assert sum(p.numel() for p in model.items.parameters()) == towers + heads + linear(3 * E, E)


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
