"""Our modules against tensors of the authors' released programs, number for number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.testing import assert_close

from iisan_core.config.schema import ModelConfig, ProtocolConfig
from iisan_core.data.dataset import Dataset
from iisan_core.data.split import split
from iisan_core.evaluation.metrics import summary
from iisan_core.evaluation.ranking import rank_targets
from iisan_core.model.item_encoder import ItemEncoder
from iisan_core.model.loss import in_batch_softmax
from iisan_core.model.user_encoder import SASRec

ITEM_FILES = (
    "item_symmetric",
    "item_symmetric_relu",
    "item_asymmetric_wide_text",
    "item_asymmetric_wide_image",
    "item_asymmetric_deep_text",
)
MODALITIES = ("image", "text")


def read(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip(f"no golden file {path}; set IISAN_GOLDEN to a folder that holds it")
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118


@pytest.mark.usefixtures("either_form")
@pytest.mark.parametrize("name", ITEM_FILES)
def test_golden_item_tower(golden_folder: Path, name: str) -> None:
    golden, meta = read(golden_folder, name)
    layers = {m: json.loads(meta[f"{m}_layers"]) for m in MODALITIES}
    states = {m: golden[f"hidden.{m}"][:, layers[m]] for m in MODALITIES}
    encoder = item_encoder(golden, meta, {m: [s.shape[2]] * s.shape[1] for m, s in states.items()})
    flat = {m: s.flatten(1) for m, s in states.items()}
    present = {m: torch.ones(len(s), dtype=torch.bool) for m, s in states.items()}

    embeddings = encoder._embeddings(flat, present)

    for tower in (*MODALITIES, "inter"):
        assert_close(embeddings[tower], golden[f"out.{tower}"], rtol=1e-5, atol=1e-5)
    assert_close(encoder(flat, present), golden["out.item"], rtol=1e-5, atol=1e-5)
    parts = encoder.contributions(flat, present)
    assert_close(sum(parts.values()) + encoder.fusion.bias, golden["out.item"], rtol=1e-5, atol=1e-5)


def item_encoder(golden: dict[str, Tensor], meta: dict[str, str], widths: dict[str, list[int]]) -> ItemEncoder:
    bottleneck = len(golden["text.block.0.down.bias"])
    config = ModelConfig(
        bottleneck=bottleneck, embedding=len(golden["fusion.bias"]), activation=meta["activation"].lower(), heads=1
    )
    encoder = ItemEncoder(widths=widths, config=config)
    encoder.load_state_dict(ours(golden, wider=max(MODALITIES, key=lambda m: widths[m][-1])))
    return encoder.eval()


def ours(golden: dict[str, Tensor], *, wider: str) -> dict[str, Tensor]:
    """Rename the file's weights to our state dict; a missing or a superfluous one fails the strict load."""
    weights = {}
    for key, value in golden.items():
        first, _, rest = key.partition(".")
        if first in (*MODALITIES, "inter"):
            if rest.startswith("head"):
                weights[f"heads.{first}.{rest.removeprefix('head.')}"] = value
            else:
                weights[f"towers.{key}"] = value[:, None] if key == "inter.gate" else value
        elif first == "dtl":
            weights[f"towers.inter.dtl.{wider}.{rest}"] = value
        elif first == "fusion":
            weights[key] = value
    return weights


def user_encoder(golden: dict[str, Tensor]) -> SASRec:
    prefix = "user_encoder."
    weights = {k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)}
    blocks = 1 + max(int(k.split(".")[1]) for k in weights if k.startswith("transformer_blocks"))
    positions, width = weights["position_embedding.weight"].shape
    renamed = {
        "position.weight": weights["position_embedding.weight"],
        "norm.weight": weights["layer_norm.weight"],
        "norm.bias": weights["layer_norm.bias"],
    }
    for b in range(blocks):
        attention, feed = f"transformer_blocks.{b}.multi_head_attention", f"transformer_blocks.{b}.feed_forward"
        qkv = [weights[f"{attention}.w_{letter}.weight"] for letter in "QKV"]
        renamed[f"block.{b}.attention.qkv.weight"] = torch.cat(qkv)
        renamed[f"block.{b}.attention.out.weight"] = weights[f"{attention}.fc.weight"]
        for kind in ("weight", "bias"):
            renamed[f"block.{b}.attention_norm.{kind}"] = weights[f"{attention}.layer_norm.{kind}"]
            renamed[f"block.{b}.wide.{kind}"] = weights[f"{feed}.w_1.{kind}"]
            renamed[f"block.{b}.narrow.{kind}"] = weights[f"{feed}.w_2.{kind}"]
            renamed[f"block.{b}.feed_forward_norm.{kind}"] = weights[f"{feed}.layer_norm.{kind}"]
    encoder = SASRec(width=width, positions=positions, blocks=blocks, heads=2, dropout=0.1)
    encoder.load_state_dict(renamed)
    return encoder.eval()


@pytest.mark.usefixtures("either_form")
def test_golden_sequence_loss(golden_folder: Path) -> None:
    golden, _ = read(golden_folder, "sequence_loss")
    sequences, real = golden["sequences"].long(), golden["mask"].bool()
    table = golden["item_table"].requires_grad_()
    distinct, inverse = torch.unique(sequences, return_inverse=True)
    assert distinct[0] == 0, "the file has padding, so distinct item 0 is the padding item"
    items, slots = distinct[1:], inverse - 1
    counts = torch.bincount(slots[slots >= 0])
    vectors = table[items]

    states = user_encoder(golden)(vectors[slots[:, :-1].clamp(min=0)], real)
    loss = in_batch_softmax(
        states, vectors, slots=slots, counts=counts, log_popularity=golden["popularity"][items].log()
    )
    loss.backward()

    assert_close(states[real], golden["user_states"][real], rtol=1e-5, atol=1e-5)
    assert_close(loss, golden["loss"][0], rtol=1e-5, atol=0.0)
    assert_close(table.grad, golden["item_table.grad"], rtol=1e-4, atol=1e-7)


def test_golden_evaluation_on_scientific(golden_folder: Path, scientific: Dataset) -> None:
    golden, meta = read(golden_folder, "evaluation_scientific")
    kept = split(scientific, ProtocolConfig(training="last", catalogue="interacted", masked="kept"))
    assert (len(kept.user_ids), len(kept.item_ids)) == (int(meta["users"]), int(meta["items"]))
    table = golden["item_table"].float()
    encoder = user_encoder(golden)

    for subset in ("valid", "test"):
        inputs = torch.from_numpy(kept.history(subset).newest(kept.max_history))
        with torch.no_grad():
            states = encoder(table[inputs], inputs > 0)[:, -1]
        ranks = rank_targets(states, table, seen=kept.seen(subset), targets=torch.from_numpy(kept.targets(subset)))
        found = summary(np.asarray(ranks))
        for metric in ("HR", "NDCG"):
            expected = 100 * float(meta[f"{subset}_{metric.lower()}10"])
            assert found[f"{metric}@10"] == pytest.approx(expected, abs=1e-4), (subset, metric)
