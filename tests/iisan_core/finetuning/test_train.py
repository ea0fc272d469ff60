import numpy as np
import pytest
import torch
from torch.testing import assert_close

from iisan_core.backbones.loading import load_backbone
from iisan_core.config.schema import MethodOptions
from iisan_core.errors import RefusedError
from iisan_core.finetuning import inputs as finetuning_inputs
from iisan_core.finetuning.inputs import PictureFiles, prepare
from iisan_core.finetuning.train import open_setup
from iisan_core.model.inference import item_table
from iisan_core.model.inputs import arithmetic
from iisan_core.training.batches import make_batch
from iisan_core.training.step import Stepper

pytestmark = pytest.mark.usefixtures("one_thread")

INSIDE = ["lora", "adapter", "bitfit", "full"]


def first_batch(setup):
    return make_batch(setup.split.windows.take(np.arange(12)))


def gradients(setup, *, options=None):
    stepper = Stepper(setup.model, setup.bank, setup.split, setup.training)
    loss = stepper.loss(first_batch(setup))
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in setup.model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("standardize", [False, True])
def test_uncached_equals_cached(shop, standardize):
    config = shop.config(model={"standardize": standardize, "modality_dropout": 0.0, "dropout": 0.0})
    cached, uncached = open_setup(config, "cached"), open_setup(config, "uncached")
    uncached.model.items.head.load_state_dict(cached.model.items.state_dict())
    uncached.model.users.load_state_dict(cached.model.users.state_dict())
    for setup in (cached, uncached):
        setup.model.train()  # dropout inside the backbones would show here
    (loss, own), (other_loss, other) = gradients(cached), gradients(uncached)
    assert_close(loss, other_loss, rtol=1e-5, atol=0)
    for name, gradient in own.items():
        assert_close(other[name.replace("items.", "items.head.", 1)], gradient, rtol=1e-3, atol=1e-6)
    tables = [item_table(setup.model, setup.bank, precision="float32") for setup in (cached, uncached)]
    assert_close(tables[0], tables[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", INSIDE)
def test_every_method_starts_at_the_pretrained_backbone(shop, method):
    frozen, adapted = (open_setup(shop.config(), name).model.items.eval() for name in ("uncached", method))
    bank = open_setup(shop.config(), method).bank
    inputs, present = bank.gather(torch.arange(1, 30))
    with torch.no_grad():
        for name, states in adapted.states(inputs, present).items():
            if name != "ids":
                last = frozen.states(inputs, present)[name][:, -states.shape[1] :]
                assert_close(states, last, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", INSIDE)
def test_a_step_moves_what_is_trained_and_nothing_else(shop, method):
    setup = open_setup(shop.config(), method)
    before = {name: p.detach().clone() for name, p in setup.model.named_parameters()}
    stepper = Stepper(setup.model.train(), setup.bank, setup.split, setup.training)
    for _ in range(2):  # LoRA's first matrix moves once the second has left zero
        stepper.step(first_batch(setup))
    moved = {name for name, p in setup.model.named_parameters() if not torch.equal(p, before[name])}
    trained = {name for name, p in setup.model.named_parameters() if p.requires_grad}
    inside = {name for name in trained if name.startswith("items.backbones.")}
    assert inside and inside <= moved | {n for n in inside if n.endswith(("key.bias", "k_proj.bias"))}
    assert moved <= trained
    known = {"lora": "lora_", "adapter": (".down.", ".up."), "bitfit": "bias", "full": ""}[method]
    assert all(any(k in name for k in (known if isinstance(known, tuple) else (known,))) for name in inside)


def test_parameters_are_counted_once_and_unused_ones_not_at_all(shop):
    counts = {method: open_setup(shop.config(), method).trainable_parameters for method in INSIDE}
    D, layers, rank, bottleneck = 16, 3, 8, 64
    setup = open_setup(shop.config(), "lora")
    outside = sum(p.numel() for n, p in setup.model.named_parameters() if not n.startswith("items.backbones."))
    assert counts["lora"] == outside + 2 * layers * 2 * 2 * D * rank
    assert counts["adapter"] == outside + 2 * layers * 2 * (2 * D * bottleneck + D + bottleneck)
    assert counts["bitfit"] < counts["lora"] < counts["full"]
    full = open_setup(shop.config(), "full").model
    assert not any(p.requires_grad for n, p in full.named_parameters() if "pooler" in n)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_checkpointed_layers_give_the_same_gradients(shop, method):
    config = shop.config(model={"dropout": 0.0, "modality_dropout": 0.0})
    plain = open_setup(config, method)
    checkpointed = open_setup(config, method, options=MethodOptions(gradient_checkpointing=True))
    checkpointed.model.load_state_dict(plain.model.state_dict())
    for setup in (plain, checkpointed):
        setup.model.train()
        for module in setup.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "attention_probs_dropout_prob"):
                module.attention_probs_dropout_prob = 0.0
    (loss, own), (other_loss, other) = gradients(plain), gradients(checkpointed)
    assert_close(loss, other_loss)
    for name, gradient in own.items():
        assert_close(other[name], gradient, rtol=1e-4, atol=1e-6)


def test_bfloat16_steps_stay_near_float32(shop):
    losses = []
    for precision in ("float32", "bfloat16"):
        setup = open_setup(shop.config(model={"dropout": 0.0}, training={"precision": precision}), "lora")
        setup.model.eval()
        stepper = Stepper(setup.model, setup.bank, setup.split, setup.training)
        losses.append(stepper.loss(first_batch(setup)))
    assert_close(losses[1], losses[0], rtol=0.02, atol=0)
    assert losses[1] != losses[0]


def test_pictures_read_in_every_step_are_those_prepared_once(shop, monkeypatch):
    prepared = open_setup(shop.config(), "uncached").bank
    monkeypatch.setattr(finetuning_inputs.prepare, "__kwdefaults__", {"kept_bytes": 0})
    read = open_setup(shop.config(), "uncached").bank
    assert isinstance(read.inputs["image"], PictureFiles)
    items = torch.tensor([3, 1, 11, 30])
    (a, there), (b, also) = prepared.gather(items), read.gather(items)
    assert_close(a["image"], b["image"])
    assert_close(there, also)


def test_texts_are_cut_to_the_longest_taken(shop):
    bank = open_setup(shop.config(), "uncached").bank
    lengths = bank.inputs["text"].tensors["attention_mask"].sum(dim=1)
    items = (lengths == lengths[lengths > 0].min()).nonzero().squeeze(1) + 1
    inputs, _ = bank.gather(items)
    assert inputs["text"]["input_ids"].shape[1] == lengths[lengths > 0].min()
    assert bool(inputs["text"]["attention_mask"].all())


def test_texts_of_a_model_trained_with_padding_keep_it(shop):
    backbone = load_backbone(shop.backbones["text"], "text")
    backbone.needs_padding = True
    texts = ["red mug", "big green steel lamp"]
    prepared = prepare(backbone, texts, torch.ones(2, dtype=torch.bool), size=30)
    assert prepared.take(torch.tensor([0]))["input_ids"].shape[1] == len(["red", "mug"]) + 2 + 2


def test_another_backbone_than_the_caches_is_refused(shop):
    with pytest.raises(RefusedError, match="was made with"):
        open_setup(shop.config(), "full", backbones={"image": shop.backbones["image"], "text": _other(shop)})


def _other(shop):
    import json
    import shutil

    copy = shop.dataset.folder.parent / "another-bert"
    if not copy.exists():
        shutil.copytree(shop.backbones["text"], copy)
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-6}))
    return copy


def test_arithmetic_of_a_frozen_backbone_is_the_runs(shop):
    setup = open_setup(shop.config(), "uncached")
    inputs, present = setup.bank.gather(torch.arange(1, 9))
    with torch.no_grad(), arithmetic(torch.device("cpu"), "bfloat16"):
        low = setup.model.items.states(inputs, present)["text"]
    high = setup.model.items.states(inputs, present)["text"]
    assert 0 < (low - high).abs().max() < 0.2
