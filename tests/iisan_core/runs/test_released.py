"""Checkpoints of the authors' programs: their names become ours, what is unknown is named, and nothing is run."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

from data_tools.writing import write_dataset
from iisan_core.cache.inputs import inputs_of
from iisan_core.cache.manifest import CacheManifest
from iisan_core.cache.writer import CacheWriter
from iisan_core.config.presets import load_preset
from iisan_core.config.schema import RunConfig
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.model.saving import load_model
from iisan_core.runs.released import import_checkpoint, read_checkpoint
from iisan_core.serving.recommender import Recommender

from ...tiny_world import one_pixel

pytestmark = pytest.mark.usefixtures("one_thread")

E, S, R = 8, 4, 4
FILES = ("item_symmetric", "item_symmetric_relu", "item_asymmetric_wide_text", "item_asymmetric_wide_image",
         "item_asymmetric_deep_text")  # fmt: skip
CALLED = {"image": "cv", "text": "bert", "inter": "mm"}


def user_encoder(width: int, positions: int, *, blocks: int = 2) -> dict[str, Tensor]:
    """A user encoder in the released naming."""
    prefix, made = "user_encoder.transformer_encoder.", {}
    made["position_embedding.weight"] = torch.randn(positions, width)
    made |= {"layer_norm.weight": torch.randn(width), "layer_norm.bias": torch.randn(width)}
    for b in range(blocks):
        attention, feed = f"transformer_blocks.{b}.multi_head_attention", f"transformer_blocks.{b}.feed_forward"
        made |= {f"{attention}.{name}.weight": torch.randn(width, width) for name in ("w_Q", "w_K", "w_V", "fc")}
        made |= {f"{feed}.w_1.weight": torch.randn(4 * width, width), f"{feed}.w_1.bias": torch.randn(4 * width)}
        made |= {f"{feed}.w_2.weight": torch.randn(width, 4 * width), f"{feed}.w_2.bias": torch.randn(width)}
        for part in (attention, feed):
            made |= {f"{part}.layer_norm.weight": torch.randn(width), f"{part}.layer_norm.bias": torch.randn(width)}
    return {prefix + name: tensor for name, tensor in made.items()}


def linear(name: str, out: int, width: int) -> dict[str, Tensor]:
    return {f"{name}.weight": torch.randn(out, width) / width**0.5, f"{name}.bias": torch.randn(out)}


def released(*, image: Sequence[int], text: Sequence[int], versa: bool) -> dict[str, Tensor]:
    """A checkpoint of random tensors; widths of the layers read, by modality."""
    widths = {"cv": image, "bert": text}
    narrow, depth = min(image[-1], text[-1]), min(len(image), len(text))
    made: dict[str, Tensor] = {}
    for tower, layers in (*widths.items(), ("mm", [narrow] * depth)):
        for k, width in enumerate(layers):
            made |= linear(f"mm_encoder.{tower}_adapter_list.{k}.fc_down", R, width)
            made |= linear(f"mm_encoder.{tower}_adapter_list.{k}.fc_up", width, R)
            gate = {"bert": "text"}.get(tower, tower)
            made[f"mm_encoder.side_gate_params_{gate}.{k}"] = torch.randn(1) / 10
    for tower, layers in widths.items():
        hidden = E if versa else layers[-1]
        made |= linear(f"mm_encoder.fc_{tower}", hidden, layers[-1]) | linear(f"mm_encoder.{tower}_pre_fc", E, hidden)
    made |= linear("mm_encoder.fc_mm", narrow, narrow) | linear("mm_encoder.fc_mm_down", E, narrow)
    if image[-1] != text[-1]:
        wide = max(image[-1], text[-1])
        for k in range(depth):
            made |= linear(f"mm_encoder.down_project_list.{k}", narrow, wide)
    return made | linear("com_dense", E, 3 * E) | user_encoder(E, S)


def dataset_of(folder: Path, items: int) -> Dataset:
    """Items that all have a title and a picture, and users of six interactions."""
    rng = np.random.default_rng(0)
    log = [(f"u{u}", f"i{i}", t) for u in range(12) for t, i in enumerate(rng.permutation(items)[:6])]
    log += [(f"v{n}", f"i{(n + step) % items}", step) for n in range(items) for step in range(6)]
    return write_dataset(
        folder / "dataset",
        name="theirs",
        source="made by a test",
        items=pl.DataFrame(
            {
                "item_id": [f"i{n}" for n in range(items)],
                "title": [f"thing {n}" for n in range(items)],
                "image": [f"{n}.png" for n in range(items)],
            }
        ),
        interactions=pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row"),
        images={f"{n}.png": one_pixel(n) for n in range(items)},
    )


def cache_of(folder: Path, dataset: Dataset, modality: str, states: Tensor) -> Path:
    """States [n, layers, D] as an extraction leaves them."""
    inputs = inputs_of(dataset, modality, text_fields=("title",))  # type: ignore[arg-type]
    count, layers, width = states.shape
    plan = CacheManifest(
        dataset=dataset.name, modality=modality, backbone=f"their-{modality}", revision="1", compute_dtype="float32",
        pooling="cls", layers=tuple(range(layers)), widths=(width,) * layers, dtype="float32", text_fields=("title",),
        max_tokens=30, image_size=None, items=count, shard_size=count, ids_sha256=inputs.ids_sha256,
        inputs_sha256=inputs.inputs_sha256, libraries={},
    )  # fmt: skip
    writer = CacheWriter(folder / modality, plan)
    writer.write(0, states.flatten(1).float(), {})
    writer.finish(inputs)
    return folder / modality


def config_of(folder: Path, states: dict[str, Tensor], **model: object) -> RunConfig:
    dataset = dataset_of(folder, len(states["text"]))
    caches = {name: cache_of(folder, dataset, name, tensor) for name, tensor in states.items()}
    preset = load_preset("paper-amazon")
    values = preset.model_dump()
    values["model"] |= {"activation": "relu"} | model
    values["training"] |= {"device": "cpu"}
    values["protocol"] |= {"catalogue": "all"}
    groups = {name: values[name] for name in ("model", "training", "protocol")}
    return RunConfig.model_validate({"dataset": dataset.folder, "caches": caches, **groups})


def saved(path: Path, tensors: dict[str, Tensor]) -> Path:
    """As the programs save it: with optimiser and random state, and, by several processes, `module.` before names."""
    torch.save({"model_state_dict": tensors, "optimizer": {}, "rng_state": torch.get_rng_state()}, path)
    return path


SHAPES = {
    "symmetric": ([16] * 3, [16] * 3, False),
    "versa, equal widths": ([16] * 3, [16] * 3, True),
    "wide text": ([16] * 3, [24] * 3, True),
    "wide image": ([24] * 3, [16] * 3, True),
    "deep text": ([16] * 3, [24] * 5, True),
    "deep image": ([24] * 5, [16] * 3, True),
}


def random_states(image: Sequence[int], text: Sequence[int]) -> dict[str, Tensor]:
    return {"image": torch.randn(20, len(image), image[0]), "text": torch.randn(20, len(text), text[0])}


@pytest.mark.parametrize(("image", "text", "versa"), SHAPES.values(), ids=SHAPES)
def test_a_checkpoint_becomes_a_run_that_is_measured_and_recommends(tmp_path, image, text, versa):
    torch.manual_seed(0)
    tensors = released(image=image, text=text, versa=versa)
    config = config_of(tmp_path, random_states(image, text))
    file = saved(tmp_path / "epoch-9.pt", {f"module.{name}": tensor for name, tensor in tensors.items()})

    run = import_checkpoint(file, config, tmp_path / "runs" / "theirs", command="iisan import-checkpoint")

    assert run.status().state == "finished"
    results, made = run.results(), run.config()
    assert (made.model.head, made.model.bottleneck, made.model.embedding) == (
        "stacked-versa" if versa else "stacked",
        R,
        E,
    )
    assert (made.protocol.max_history, made.model.blocks, made.model.activation) == (S, 2, "relu")
    assert results["efficiency"]["trainable_parameters"] == sum(tensor.numel() for tensor in tensors.values())
    assert set(results["quality"]) == {"valid", "test"}
    model = load_model(run.best)
    block = "user_encoder.transformer_encoder.transformer_blocks.1.multi_head_attention"
    parts = [tensors[f"{block}.w_{letter}.weight"] for letter in "QKV"]
    assert_close(model.users.block[1].attention.qkv.weight.data, torch.cat(parts))
    assert_close(model.items.towers["inter"].gate.data[2, 0], tensors["mm_encoder.side_gate_params_mm.2"][0])
    recommender = Recommender.load(run.path)
    assert len(recommender.recommend(histories=[["i1", "i2"]], k=3)[0]) == 3
    why = recommender.explain("i4", history=["i1"])
    assert sum(part.score for part in why.parts) == pytest.approx(why.score, abs=1e-3)
    assert f"imported {len(load_file(run.best / 'model.safetensors')):,} tensors" in run.log.read_text()


def in_released_names(golden: dict[str, Tensor], *, versa: bool) -> dict[str, Tensor]:
    """Golden weights under the released names; their heads are one linear, so the other is the identity."""
    made: dict[str, Tensor] = {}
    for tower, called in CALLED.items():
        for name in golden:
            if name.startswith(f"{tower}.block."):
                _, _, k, part, kind = name.split(".")
                made[f"mm_encoder.{called}_adapter_list.{k}.fc_{part}.{kind}"] = golden[name]
        gate = {"image": "cv", "text": "text", "inter": "mm"}[tower]
        made |= {f"mm_encoder.side_gate_params_{gate}.{k}": g.reshape(1) for k, g in enumerate(golden[f"{tower}.gate"])}
        weight, bias = golden[f"{tower}.head.weight"], golden[f"{tower}.head.bias"]
        inner, outer = (
            f"mm_encoder.fc_{called}",
            f"mm_encoder.{called}_pre_fc" if tower != "inter" else "mm_encoder.fc_mm_down",
        )
        if versa and tower != "inter":
            first, second = (weight, bias), (torch.eye(len(weight)), torch.zeros(len(weight)))
        else:
            width = weight.shape[1]
            first, second = (torch.eye(width), torch.zeros(width)), (weight, bias)
        for name, (w, b) in ((inner, first), (outer, second)):
            made |= {f"{name}.weight": w, f"{name}.bias": b}
    made |= {
        f"mm_encoder.down_project_list.{n.removeprefix('dtl.')}": t for n, t in golden.items() if n.startswith("dtl.")
    }
    made |= {"com_dense.weight": golden["fusion.weight"], "com_dense.bias": golden["fusion.bias"]}
    return made | user_encoder(len(golden["fusion.bias"]), 10)


@pytest.mark.parametrize("name", FILES)
def test_golden_tensors_in_the_released_naming_give_the_golden_items(golden_folder, tmp_path, name):
    path = golden_folder / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip(f"no golden file {path}; set IISAN_GOLDEN to a folder that holds it")
    golden = load_file(path)
    with safe_open(path, framework="pt") as file:
        told = file.metadata()
    states = {m: golden[f"hidden.{m}"] for m in ("image", "text")}
    layers = {m: ",".join(map(str, json.loads(told[f"{m}_layers"]))) for m in states}
    config = config_of(tmp_path, states, layers=layers, activation=told["activation"].lower())
    file = saved(tmp_path / "epoch-1.pt", in_released_names(golden, versa="asymmetric" in name))

    run = import_checkpoint(file, config, tmp_path / "run")

    table = load_file(run.item_vectors)["items"]
    assert_close(table[1:], golden["out.item"], rtol=1e-4, atol=1e-4)


@pytest.fixture
def symmetric() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return released(image=[16] * 3, text=[16] * 3, versa=False)


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    torch.manual_seed(0)
    return config_of(tmp_path, random_states([16] * 3, [16] * 3))


def refused(tmp_path: Path, config: RunConfig, tensors: dict[str, Tensor]) -> str:
    with pytest.raises(RefusedError) as error:
        import_checkpoint(saved(tmp_path / "x.pt", tensors), config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    return str(error.value)


def test_unknown_missing_and_misshapen_tensors_are_named(tmp_path, config, symmetric):
    assert "unknown here: mm_encoder.surprise.weight" in refused(
        tmp_path, config, symmetric | {"mm_encoder.surprise.weight": torch.ones(2)}
    )
    for name in ("com_dense.bias", "mm_encoder.fc_cv.bias", "mm_encoder.cv_adapter_list.1.fc_up.weight"):
        assert "is missing" in refused(tmp_path, config, {n: t for n, t in symmetric.items() if n != name})
    block = "user_encoder.transformer_encoder.transformer_blocks.0.multi_head_attention.w_K.weight"
    assert f"{block} is missing" in refused(tmp_path, config, {n: t for n, t in symmetric.items() if n != block})
    gate = "mm_encoder.side_gate_params_mm.1"
    assert "there are [0, 2]" in refused(tmp_path, config, {n: t for n, t in symmetric.items() if n != gate})
    said = refused(tmp_path, config, symmetric | {"com_dense.weight": torch.ones(E, 2)})
    assert f"com_dense.weight is [{E}, 2], not [{E}, {3 * E}]" in said
    said = refused(tmp_path, config, symmetric | {"com_dense.bias": torch.full((E,), float("nan"))})
    assert "com_dense.bias is not finite" in said
    assert "no items.fusion.weight, users.position.weight of ours" in refused(
        tmp_path, config, {n: t for n, t in symmetric.items() if n.startswith("mm_encoder")}
    )


def test_other_layers_than_the_checkpoint_read_are_refused_with_the_way_out(tmp_path, symmetric):
    config = config_of(tmp_path, random_states([16] * 5, [16] * 5))
    said = refused(tmp_path, config, symmetric)
    assert "reads 3 layers of width 16 of the modality image, and the cache gives 5 of [16]" in said
    assert "--set model.layers.image=0,2,4" in said
    chosen = config.model.model_copy(update={"layers": {"image": "0,2,4", "text": "0,2,4"}})
    run = import_checkpoint(
        saved(tmp_path / "x.pt", symmetric), config.model_copy(update={"model": chosen}), tmp_path / "run"
    )
    assert run.results()["quality"]["test"]["HR@10"] >= 0


def test_a_cache_of_one_modality_is_not_enough(tmp_path, config, symmetric):
    alone = config.model_copy(update={"caches": {"text": config.caches["text"]}})
    assert "there are caches of text; give one cache image and one cache text" in refused(tmp_path, alone, symmetric)


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_a_file_that_would_run_something_is_refused_and_runs_nothing(tmp_path):
    marker = tmp_path / "executed"
    torch.save({"model_state_dict": Payload(marker)}, tmp_path / "evil.pt")
    with pytest.raises(RefusedError, match="cannot be read as tensors alone"):
        read_checkpoint(tmp_path / "evil.pt")
    torch.save({"model_state_dict": Payload(marker)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(RefusedError, match="cannot be read as tensors alone"):
        read_checkpoint(tmp_path / "old.pt")
    assert not marker.exists()


def test_files_that_are_no_checkpoint_are_refused(tmp_path):
    with pytest.raises(RefusedError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(RefusedError, match="cannot be read as tensors alone"):
        read_checkpoint(tmp_path / "text.pt")
    for value in ({"model_state_dict": {}}, {"model_state_dict": {"a": 1}}, torch.ones(3), {"epoch": 3}):
        torch.save(value, tmp_path / "other.pt")
        with pytest.raises(RefusedError, match="holds no tensors by name"):
            read_checkpoint(tmp_path / "other.pt")


def test_a_file_that_unpacks_to_many_times_its_size_is_refused_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("archive/data/0", io.BytesIO(b"\0" * 2**26).getvalue())
    with pytest.raises(RefusedError, match="many times its size"):
        read_checkpoint(tmp_path / "bomb.pt")
