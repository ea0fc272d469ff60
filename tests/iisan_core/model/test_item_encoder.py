import pytest
import torch
from torch.testing import assert_close

from iisan_core.config.schema import ModelConfig
from iisan_core.errors import RefusedError
from iisan_core.model.item_encoder import IdVectors, ItemEncoder, make_head

D, R, E, ITEMS = 16, 4, 8, 6
WIDTHS = {"image": [D] * 3, "text": [D] * 3, "sound": [D] * 2}
SUBSETS = [["image"], ["text"], ["image", "text"], ["text", "sound"], ["image", "text", "sound"]]


def encoder(modalities, *, missing=(), **changes):
    config = ModelConfig(bottleneck=R, embedding=E, **changes)
    torch.manual_seed(0)
    made = ItemEncoder(widths={m: WIDTHS[m] for m in modalities}, config=config, missing=missing, items=ITEMS)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


def states_of(modalities, *, seed=1):
    draw = torch.Generator().manual_seed(seed)
    states = {m: torch.randn(ITEMS, sum(WIDTHS[m]), generator=draw) for m in modalities}
    states["ids"] = torch.arange(1, ITEMS + 1)
    return states, {m: torch.ones(ITEMS, dtype=torch.bool) for m in modalities}


@pytest.mark.parametrize("modalities", SUBSETS, ids="+".join)
@pytest.mark.parametrize(("intra", "inter"), [(True, True), (True, False), (False, True)])
def test_any_subset_of_modalities(modalities, intra, inter):
    made = encoder(modalities, intra=intra, inter=inter)
    several = len(modalities) > 1
    towers = [*(modalities if intra or not several else []), *(["inter"] if inter and several else [])]
    assert list(made.towers) == towers
    assert made.fusion.weight.shape == (E, len(towers) * E)
    assert made(*states_of(modalities)).shape == (ITEMS, E)


@pytest.mark.parametrize(
    ("modalities", "changes", "names"),
    [
        (["image", "text"], {}, ["image", "text", "inter"]),
        (["image", "text"], {"head": "stacked"}, ["image", "text", "inter"]),
        (["image", "text"], {"ids": True}, ["image", "text", "inter", "ids"]),
        (["image", "text"], {"adapter": "linear"}, ["image", "text"]),
        (["image", "text"], {"adapter": "mlp", "ids": True}, ["image", "text", "ids"]),
        (["text"], {"adapter": "mlp"}, ["text"]),
        ([], {"ids": True}, ["ids"]),
    ],
)
def test_parts_and_bias_sum_to_the_vector(modalities, changes, names):
    made = encoder(modalities, **changes)
    inputs = states_of(modalities)
    parts = made.contributions(*inputs)
    assert list(parts) == names
    assert_close(sum(parts.values()) + made.bias, made(*inputs), rtol=1e-4, atol=1e-4)


def test_vectors_start_as_large_as_the_configuration_says():
    made = []
    for scale in (1.0, 0.1):
        torch.manual_seed(0)
        config = ModelConfig(bottleneck=R, embedding=E, initial_scale=scale)
        made.append(ItemEncoder(widths={"text": WIDTHS["text"]}, config=config))
    whole, tenth = made
    assert_close(tenth(*states_of(["text"])), 0.1 * whole(*states_of(["text"])))
    assert whole.fusion.weight.std().item() == pytest.approx((2 / (E + E)) ** 0.5, rel=0.3)


def test_ids_alone_are_the_vectors():
    made = encoder([], ids=True)
    assert torch.equal(made(*states_of([])), made.ids.vectors.weight[1:])
    assert {name for name, _ in made.named_parameters()} == {"ids.vectors.weight"}


def test_an_item_unknown_in_training_has_no_id_vector():
    torch.manual_seed(0)
    vectors = IdVectors(items=ITEMS, width=E)
    vectors(torch.tensor([0, 3, 3])).sum().backward()
    assert vectors.vectors.weight[1:].any(dim=1).all()
    assert not vectors(torch.tensor([0])).any()
    assert [row.any().item() for row in vectors.vectors.weight.grad] == [number == 3 for number in range(ITEMS + 1)]


def test_ids_without_a_number_of_items_are_refused():
    with pytest.raises(RefusedError, match="needs to know how many items there are; found 0"):
        ItemEncoder(widths={}, config=ModelConfig(ids=True))


@pytest.mark.parametrize("adapter", ["linear", "mlp"])
def test_the_frozen_baselines_read_the_last_layer_alone(adapter):
    made = encoder(["text"], adapter=adapter)
    states, present = states_of(["text"])
    other = states["text"].clone()
    other[:, :-D] += 1
    assert torch.equal(made({**states, "text": other}, present), made(states, present))
    last = states["text"][:, -D:]
    tower, head, fusion = made.towers["text"], made.heads["text"], made.fusion
    hidden = last if adapter == "linear" else torch.nn.functional.gelu(last @ tower.hidden.weight.T + tower.hidden.bias)
    embedding = hidden @ head.weight.T + head.bias
    assert_close(made(states, present), embedding @ fusion.weight.T + fusion.bias, rtol=1e-4, atol=1e-4)


def test_each_item_is_encoded_by_itself():
    made = encoder(["image", "text"], missing=["image"])
    states, present = states_of(["image", "text"])
    present["image"][2] = False
    rows = torch.tensor([2, 4])
    alone = made({m: s[rows] for m, s in states.items()}, {m: p[rows] for m, p in present.items()})
    assert_close(alone, made(states, present)[rows])


@pytest.mark.parametrize("garbage", [7.0, float("nan"), float("inf")])
def test_what_stands_in_absent_rows_never_matters(garbage):
    made = encoder(["image", "text"], missing=["image"])
    states, present = states_of(["image", "text"])
    present["image"][[1, 3]] = False
    spoiled = states["image"].clone()
    spoiled[[1, 3]] = garbage
    found = []
    for image in (states["image"], spoiled):
        made.zero_grad()
        vectors = made({**states, "image": image}, present)
        vectors.square().sum().backward()
        found.append([vectors, *(p.grad.clone() for p in made.parameters())])
    for one, other in zip(*found, strict=True):
        assert_close(one, other)


def test_a_present_row_is_read():
    made = encoder(["image", "text"], missing=["image"])
    states, present = states_of(["image", "text"])
    absent = {**present, "image": torch.zeros(ITEMS, dtype=torch.bool)}
    assert ((made(states, present) - made(states, absent)).abs().amax(dim=1) > 1e-3).all()


def test_stand_ins_only_where_there_are_gaps():
    assert list(encoder(["image", "text"], missing=["image"]).stand_ins) == ["image"]
    assert encoder(["image", "text"], missing=["image"]).stand_ins["image"].vector.shape == (3 * D,)
    assert list(encoder(["image", "text"]).stand_ins) == []


def test_modality_dropout_hides_in_training_only():
    made = encoder(["image", "text"], missing=["image", "text"], modality_dropout=0.9)
    inputs = states_of(["image", "text"])
    still = made(*inputs)
    assert_close(made(*inputs), still)
    made.train()
    assert not torch.allclose(made(*inputs), still)


def test_half_precision_states_are_widened():
    made = encoder(["text"])
    states, present = states_of(["text"])
    half = {"text": states["text"].half()}
    found = made(half, present)
    assert found.dtype == torch.float32
    assert_close(found, made({m: s.float() for m, s in half.items()}, present))


def test_the_order_of_modalities_in_the_mapping_of_states_does_not_matter():
    made = encoder(["image", "text"])
    states, present = states_of(["image", "text"])
    turned = {m: states[m] for m in ("text", "image")}
    assert_close(made(turned, present), made(states, present))


def test_layers_that_are_not_read_change_nothing():
    torch.manual_seed(0)
    config = ModelConfig(bottleneck=R, embedding=E)
    widths = {"image": [D, D + 1, D], "text": [D] * 2}
    made = ItemEncoder(widths=widths, kept={"image": (0, 2)}, config=config).eval()
    states = {name: torch.randn(ITEMS, sum(w)) for name, w in widths.items()}
    present = {name: torch.ones(ITEMS, dtype=torch.bool) for name in widths}
    read = {"image": torch.cat([states["image"][:, :D], states["image"][:, -D:]], dim=1), "text": states["text"]}
    alone = ItemEncoder(widths={"image": [D, D], "text": [D] * 2}, config=config).eval()
    alone.load_state_dict(made.state_dict())
    assert_close(made(states, present), alone(read, present))


@pytest.mark.parametrize("adapter", ["linear", "mlp"])
def test_frozen_baselines_standardize_the_layer_that_they_read_and_no_other(adapter):
    made = encoder(["image", "text"], missing=["image"], adapter=adapter, standardize=True)
    states, present = states_of(["image", "text"])
    present["image"][2] = False
    made.fit_scale({m: 5 + 3 * states[m] for m in present}, present)
    sizes = []
    for module in made.standardize.values():
        module.register_forward_hook(lambda module, given, layer: sizes.append(layer.shape))
    found = made(states, present)
    assert sizes == [(ITEMS, D)] * 2
    whole = {m: standardize(states[m]) for m, standardize in made.standardize.items()}
    whole["image"] = made.stand_ins["image"](whole["image"], present["image"])
    heads = [made.heads[m](made.towers[m](whole[m].split(WIDTHS[m], dim=1))) for m in whole]
    assert_close(found, made.fusion(torch.cat(heads, dim=1)), rtol=0, atol=0)


def test_even_gates_stay_where_they_start():
    even, learned = (encoder(["image", "text"], gates=gates) for gates in ("even", "learned"))
    for made in (even, learned):
        made(*states_of(["image", "text"])).sum().backward()
    assert [tower.gate.grad for tower in even.towers.values()] == [None] * 3
    assert all(tower.gate.grad is not None for tower in learned.towers.values())


def test_the_network_between_has_a_width_of_its_own():
    towers = encoder(["image", "text"], inter_bottleneck=2 * R).towers
    assert {name: len(tower.block[0].down.weight) for name, tower in towers.items()} == {
        "image": R,
        "text": R,
        "inter": 2 * R,
    }


def test_a_modality_may_have_a_width_of_its_own():
    towers = encoder(["image", "text"], bottlenecks={"image": 3 * R, "video": 5}).towers
    assert {name: len(tower.block[0].down.weight) for name, tower in towers.items()} == {
        "image": 3 * R,
        "text": R,
        "inter": R,
    }


@pytest.mark.parametrize("kind", ["stacked", "stacked-versa"])
def test_a_stacked_head_is_its_two_linears_in_value_and_gradient(kind):
    head = make_head(kind, tower="text", width=D, embedding=E)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(7, D, requires_grad=True)
    weights = torch.randn(7, E)
    inputs = (x, *head.parameters())
    one, two = head(x), head.outer(head.inner(x))
    assert_close(one, two, rtol=1e-4, atol=1e-4)
    for fast, slow in zip(
        torch.autograd.grad((one * weights).sum(), inputs),
        torch.autograd.grad((two * weights).sum(), inputs),
        strict=True,
    ):
        assert_close(fast, slow, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "tower", "size"),
    [
        ("linear", "text", (D + 1) * E),
        ("stacked", "text", (D + 1) * D + (D + 1) * E),
        ("stacked", "inter", (D + 1) * D + (D + 1) * E),
        ("stacked-versa", "text", (D + 1) * E + (E + 1) * E),
        ("stacked-versa", "inter", (D + 1) * D + (D + 1) * E),
    ],
)
def test_sizes_and_initial_values(kind, tower, size):
    head = make_head(kind, tower=tower, width=D, embedding=E)
    assert sum(p.numel() for p in head.parameters()) == size
    assert not any(p.any() for n, p in head.named_parameters() if n.endswith("bias"))
    assert head(torch.randn(3, D)).shape == (3, E)


def test_weights_are_xavier_normal():
    wide = make_head("linear", tower="text", width=500, embedding=300)
    assert wide.weight.std().item() == pytest.approx((2 / (500 + 300)) ** 0.5, rel=0.02)
