"""What is planned is what then happens: sizes exactly, memory within a quarter."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.planning.backbone_spec import describe_backbone
from app.planning.encoder import extraction_time, input_sizes
from app.planning.machine import Machine
from app.planning.memory_tracker import MemoryTracker
from app.planning.plan import Plan, largest_encoder, plan, what_does_not_fit
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings
from iisan_core.cache.store import HiddenStateCache
from iisan_core.config.presets import Preset
from iisan_core.config.schema import ModelConfig, ProtocolConfig, TrainingConfig
from iisan_core.data.dataset import Dataset
from iisan_core.data.split import split
from iisan_core.errors import RefusedError
from iisan_core.runs.train import train

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = CacheSettings(layers="0,2,-1", dtype="float16")
GB = 10**9


@pytest.fixture(scope="module")
def preset() -> Preset:
    return Preset(
        description="of a test",
        measured="no",
        protocol=ProtocolConfig(max_history=4),
        model=ModelConfig(bottleneck=16, embedding=32),
        training=TrainingConfig(epochs=1, batch_size=16, device="cpu"),
    )


@pytest.fixture(scope="module")
def made(world: object, bert_folder: Path, vit_folder: Path, preset: Preset) -> Plan:
    backbones = {"text": str(bert_folder), "image": str(vit_folder)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = plan(world.dataset, backbones, settings=SETTINGS, preset=preset, device="cpu")  # type: ignore[attr-defined]
    torch.set_num_threads(threads)
    return found


def test_caches_have_exactly_the_planned_bytes(
    made: Plan, world: object, bert_folder: Path, vit_folder: Path, tmp_path: Path
) -> None:
    for modality, folder in (("text", bert_folder), ("image", vit_folder)):
        *_, last = extract(
            world.dataset,  # type: ignore[attr-defined]
            load_backbone(folder, modality),  # type: ignore[arg-type]
            SETTINGS,
            folder=tmp_path,
        )
        encoder = made.encoders[modality]
        assert (last.folder / "states.bin").stat().st_size == encoder.cache_bytes == 60 * 3 * 16 * 2
        manifest = HiddenStateCache.open(last.folder).manifest
        assert (manifest.layers, manifest.widths) == (encoder.layers, encoder.widths)


def test_weights_are_the_files_that_lie_here(made: Plan, bert_folder: Path) -> None:
    text = made.encoders["text"]
    assert text.local
    assert text.file_bytes == (bert_folder / "model.safetensors").stat().st_size
    assert text.download_bytes == 0
    assert text.extraction.how == "measured"
    assert list(made.encoders) == ["image", "text"]  # in fusion order


def test_memory_of_an_extraction(made: Plan, bert_folder: Path) -> None:
    backbone = load_backbone(bert_folder, "text")
    (batch,) = backbone.batches(["thing 10"] * 64, batch_size=64, size=30)  # the longest of the world's titles
    tensors = batch.load().tensors
    with MemoryTracker() as live:
        backbone.encode(tensors, layers=[0, 2, 3], pooling="mean")
    happened = live.peak + sum(p.nbytes for p in backbone.model.parameters())
    planned = made.encoders["text"].extraction_memory_bytes - made.machine.at_work
    assert planned == pytest.approx(happened, rel=0.25)


def test_memory_of_a_training(
    made: Plan, world: object, bert_folder: Path, vit_folder: Path, preset: Preset, tmp_path: Path
) -> None:
    caches = {}
    for modality, folder in (("image", vit_folder), ("text", bert_folder)):
        backbone = load_backbone(folder, modality)  # type: ignore[arg-type]
        *_, last = extract(world.dataset, backbone, SETTINGS, folder=tmp_path)  # type: ignore[attr-defined]
        caches[modality] = last.folder
    config = preset.config(dataset=world.dataset.folder, caches=caches)  # type: ignore[attr-defined]
    with MemoryTracker() as live:
        for _ in train(config, tmp_path / "run"):
            pass
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert made.training.parameters == results["efficiency"]["trainable_parameters"]
    assert made.training.memory_bytes - made.machine.at_work == pytest.approx(live.peak, rel=0.25)


def test_steps_and_counts(made: Plan, world: object) -> None:
    assert (made.items, made.users) == (60, 80)
    windows = split(world.dataset, ProtocolConfig(max_history=4)).windows  # type: ignore[attr-defined]
    steps = -(-len(windows) // 16)
    assert made.training.steps_per_epoch == steps > 80 // 16, "users with long histories have several windows"
    assert made.training.epoch_seconds == pytest.approx(steps * made.training.step_seconds)
    assert made.training.states_bytes == made.ranked_items * 2 * 3 * 16 * 2
    assert made.fits
    assert json.loads(json.dumps(made.as_record()))["fits"] is True


def test_a_listed_backbone_is_planned_without_its_weights(catalogue: Callable[..., Dataset]) -> None:
    encoder = describe_backbone("llama-3-8b", "text")
    assert encoder.folder is None
    assert encoder.file_bytes == 8_030_261_248 * 2  # with its head, in bfloat16
    assert (encoder.compute_dtype, encoder.memory_bytes) == ("bfloat16", 2 * encoder.parameters)
    # Two operations per weight of the layers and token; attention adds little to so short a text.
    layers = encoder.parameters - 128_256 * 4096
    assert encoder.flops(30) == pytest.approx(2 * layers * 30, rel=0.01)


def test_a_model_with_its_own_program_is_planned_from_the_registry() -> None:
    encoder = describe_backbone("eva-clip-18b", "image")
    assert encoder.meta_model is None
    assert len(encoder.widths) == 49
    assert encoder.flops(224) == pytest.approx(2 * 17.5e9 * 256)


def test_an_unlisted_model_needs_its_configuration() -> None:
    with pytest.raises(RefusedError, match=r"HF_HUB_OFFLINE is set.*hf download nobody/nothing"):
        describe_backbone("nobody/nothing", "text")
    with pytest.raises(RefusedError, match=r"bert-base has no image tower|is no image backbone"):
        describe_backbone("bert-base", "image")


def test_what_is_not_here_is_estimated(catalogue: Callable[..., Dataset]) -> None:
    from iisan_core.cache.inputs import inputs_of

    dataset = catalogue(["red mug " * 4, "scarf", None])
    machine = Machine.here("cpu", caches=Path("nowhere"))
    encoder = describe_backbone("bge-small", "text")
    inputs = inputs_of(dataset, "text", text_fields=("title",))
    sizes = input_sizes(encoder, [text for text in inputs.values if text], CacheSettings(), batch_size=64)
    took = extraction_time(encoder, inputs, CacheSettings(), machine, layers=[0, 1], sizes=sizes)
    assert took.how == "estimated"
    assert took.size == round(((2 + 31 // 4) + (2 + 5 // 4)) / 2)
    assert took.flops == encoder.flops(took.size)
    assert took.seconds > 0


def test_what_does_not_fit_is_named(made: Plan) -> None:
    machine = replace(made.machine, memory_free=made.training.memory_bytes, disk_free=10, hub_disk_free=0)
    every = [replace(e, download_bytes=GB) for e in made.encoders.values()]
    problems = list(what_does_not_fit(every, made.training, machine))
    assert any("2.0 GB of weights would be downloaded, 0.0 GB are free there" in p for p in problems)
    assert any("the caches take" in p for p in problems)
    assert any("training needs" in p for p in problems)


def test_the_largest_encoder_grows_with_the_machine() -> None:
    big = {"name": "made up", "ram_free": 0, "disk_free": 10**13, "hub_disk_free": 10**13, "device": "cpu"}
    machines = [Machine(memory=m * GB, memory_free=m * GB, **big) for m in (1, 20, 200)]  # type: ignore[arg-type]
    found = [largest_encoder("text", m, items=20_000, settings=CacheSettings(layers="group:7")) for m in machines]
    assert found[1:] == ["gemma-7b", "llama-3-70b"]
    assert found[0] is not None
    assert largest_encoder("text", replace(machines[0], memory_free=10**6), items=1, settings=CacheSettings()) is None
