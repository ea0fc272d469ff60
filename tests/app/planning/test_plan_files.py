"""Plans of videos and sounds: what an extraction then writes and takes, whatever the encoder makes of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
from PIL import Image

from app.planning.backbone_spec import describe_backbone
from app.planning.encoder import EncoderPlan
from app.planning.memory_tracker import MemoryTracker
from app.planning.plan import Plan, plan
from data_tools.writing import write_dataset
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings
from iisan_core.config.presets import Preset
from iisan_core.config.schema import Modality, ProtocolConfig, TrainingConfig
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from tests.iisan_core.backbones.tiny_models import save_tiny_model
from tests.iisan_core.backbones.tiny_sounds import FAMILIES, save_tiny_encoder

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values"),
]

ITEMS, BATCH, FRAMES, RATE = 136, 8, 3, 16_000
SECONDS = (0.5, 0.8, 1.2)
"""Lengths of the sounds; a third of them each, but for the last item's, which is longest."""
SETTINGS = CacheSettings(layers="0,-1", frames=FRAMES, max_seconds=2)
PRESET = Preset(
    description="of a test", measured="no", protocol=ProtocolConfig(max_history=4),
    training=TrainingConfig(batch_size=8, device="cpu"),
)  # fmt: skip


def seconds_of(n: int) -> float:
    return 9 if n == ITEMS - 1 else SECONDS[n % 3]


def write_files(folder: Path) -> None:
    """Every video is a folder of as many frames as its number, up to five; item 0 has neither video nor sound."""
    (folder / "sounds").mkdir()
    for n in range(1, ITEMS):
        frames = folder / "videos" / str(n)
        frames.mkdir(parents=True)
        for frame in range(min(n, 5)):
            Image.new("RGB", (40, 30), (n, 40 * frame, 90)).save(frames / f"{frame}.png")
        seconds = seconds_of(n)
        wave = 0.3 * np.sin(2 * math.pi * (200 + 10 * n) * np.arange(int(seconds * RATE)) / RATE)
        soundfile.write(folder / "sounds" / f"{n}.wav", wave, RATE)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    items = pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(ITEMS)],
            "video": [f"videos/{n}" if n else None for n in range(ITEMS)],
            "audio": [f"sounds/{n}.wav" if n else None for n in range(ITEMS)],
        }
    ).with_columns(title=pl.lit(None, dtype=pl.String), image=pl.lit(None, dtype=pl.String))
    log = [(f"u{user}", f"i{(7 * user + step) % ITEMS}", step) for user in range(20) for step in range(6)]
    return write_dataset(
        tmp_path_factory.mktemp("data") / "dataset", name="files", source="made by a test", items=items,
        interactions=pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row"), also=write_files,
    )  # fmt: skip


def planned(dataset: Dataset, modality: str, folder: object, *, probe: bool = False) -> EncoderPlan:
    made: Plan = plan(
        dataset, {modality: str(folder)}, settings=SETTINGS, preset=PRESET, device="cpu", batch_size=BATCH, probe=probe
    )
    assert made.fits
    assert made.training.states_bytes == made.ranked_items * made.encoders[modality].cache_bytes // ITEMS
    encoder = made.encoders[modality]
    at_work = made.machine.at_work
    return EncoderPlan(**vars(encoder) | {"extraction_memory_bytes": encoder.extraction_memory_bytes - at_work})


def happened(dataset: Dataset, modality: Modality, folder: Path, place: Path) -> tuple[int, int]:
    """Bytes of the cache, and of the most memory that its extraction took at once."""
    backbone = load_backbone(folder, modality)
    weights = describe_backbone(str(folder), modality).memory_bytes
    paths = [path for path in dataset.file_paths(modality) if path is not None]
    batches = backbone.batches(paths, batch_size=BATCH, size=SETTINGS.input_size(modality))
    inputs = sorted(sum(tensor.nbytes for tensor in batch.load().tensors.values()) for batch in batches)
    with MemoryTracker() as live:  # sees what this thread makes; inputs are read ahead by others, four batches
        *_, last = extract(dataset, backbone, SETTINGS, folder=place, batch_size=BATCH)
    return (last.folder / "states.bin").stat().st_size, live.peak + weights + sum(inputs[-5:])


@pytest.mark.parametrize("family", FAMILIES)
def test_sounds(dataset: Dataset, tmp_path: Path, family: str) -> None:
    folder = save_tiny_encoder(family, tmp_path / family)
    expected = planned(dataset, "audio", folder)
    cache, memory = happened(dataset, "audio", folder, tmp_path / "caches")
    assert expected.cache_bytes == cache == ITEMS * 2 * 16 * 2
    assert expected.extraction_memory_bytes == pytest.approx(memory, rel=0.25)
    assert expected.file_bytes == (folder / "model.safetensors").stat().st_size
    assert (expected.items_with_input, expected.download_bytes) == (ITEMS - 1, 0)
    assert expected.extraction.how == "estimated"
    mean = sum(min(seconds_of(n), SETTINGS.max_seconds) for n in range(1, ITEMS)) / (ITEMS - 1)
    assert expected.extraction.size == pytest.approx(mean * RATE, rel=1e-4)
    assert planned(dataset, "audio", folder, probe=True).extraction.how == "measured"


@pytest.mark.parametrize("family", ["vit", "swin"])
def test_videos(dataset: Dataset, tmp_path: Path, family: str) -> None:
    folder = save_tiny_model(family, tmp_path / family)
    expected = planned(dataset, "video", folder)
    cache, memory = happened(dataset, "video", folder, tmp_path / "caches")
    assert expected.cache_bytes == cache
    assert expected.extraction_memory_bytes == pytest.approx(memory, rel=0.25)
    of_picture = describe_backbone(str(folder), "image").flops(32)
    frames = (1 + 2 + (ITEMS - 3) * FRAMES) / (ITEMS - 1)  # two videos have fewer
    assert expected.extraction.flops == pytest.approx(of_picture * frames, rel=1e-6)
    assert planned(dataset, "video", folder, probe=True).extraction.how == "measured"


def test_a_listed_image_encoder_is_planned_for_frames_without_its_weights(dataset: Dataset) -> None:
    expected = planned(dataset, "video", "dinov2-base")
    assert expected.download_bytes == describe_backbone("dinov2-base", "image").file_bytes
    assert expected.widths == (768, 768)


def test_a_configuration_is_enough(dataset: Dataset, tmp_path: Path) -> None:
    folder = save_tiny_encoder("wav2vec2", tmp_path / "whole")
    whole = planned(dataset, "audio", folder)
    (folder / "model.safetensors").unlink()
    alone = planned(dataset, "audio", folder, probe=True)
    assert not alone.local
    assert alone.extraction_memory_bytes == whole.extraction_memory_bytes
    assert alone.download_bytes == describe_backbone(str(folder), "audio").parameters * 4 < whole.file_bytes


def test_what_cannot_be_known_is_said(dataset: Dataset, tmp_path: Path, bert_folder: Path, world: object) -> None:
    folder = save_tiny_encoder("hubert", tmp_path / "hubert")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(RefusedError, match=r"hubert: preprocessor_config.json is not there.*save_pretrained"):
        planned(dataset, "audio", folder)
    with pytest.raises(RefusedError, match="is no audio backbone: it reads input_ids"):
        planned(dataset, "audio", bert_folder)
    with pytest.raises(RefusedError, match="names no video files: add a text column 'video'"):
        planned(world.dataset, "video", "vit-base")  # type: ignore[attr-defined]
    with pytest.raises(RefusedError, match="is no video backbone"):
        planned(dataset, "video", "bert-base")
    with pytest.raises(RefusedError, match="modality 'smell' cannot be planned; text, image, video, audio, joint can"):
        planned(dataset, "smell", "vit-base")
