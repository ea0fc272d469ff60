"""The memory that is planned for an extraction is what a process then takes, libraries and reading ahead included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from app.planning.backbone_spec import describe_backbone
from app.planning.encoder import plan_encoder
from app.planning.machine import Machine
from data_tools.writing import write_dataset
from iisan_core.cache.inputs import inputs_of
from iisan_core.cache.manifest import CacheSettings
from iisan_core.data.dataset import Dataset

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads resident memory from /proc"),
]

BATCH = 64
EXTRACTION = """
import json, re, sys, torch
from pathlib import Path
from transformers import AutoModel
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.manifest import CacheSettings
from iisan_core.data.dataset import Dataset
from iisan_core.cache.extract import extract
def resident(line):
    return 1024 * int(re.search(line + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
dataset, modality, name, folder = sys.argv[1:]
given = Dataset.load(dataset)
before = resident("VmRSS")
for _ in extract(given, load_backbone(name, modality), CacheSettings(), folder=Path(folder), batch_size=64):
    pass
print(json.dumps(resident("VmHWM") - before))
"""


def happened(dataset: Dataset, modality: str, name: str, place: Path) -> int:
    command = [sys.executable, "-c", EXTRACTION, str(dataset.folder), modality, name, str(place)]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=one_thread, check=True)
    taken: int = json.loads(ended.stdout)
    return taken


def planned(dataset: Dataset, modality: str, name: str) -> int:
    encoder = describe_backbone(name, modality)  # type: ignore[arg-type]
    inputs = inputs_of(dataset, encoder.modality, text_fields=("title",))
    machine = Machine.here("cpu", caches=Path("nowhere"))
    plan = plan_encoder(encoder, inputs, CacheSettings(), machine, batch_size=BATCH, probe=False)
    return plan.extraction_memory_bytes


def written(folder: Path, items: pl.DataFrame, images: dict[str, bytes] | None = None) -> Dataset:
    log = pl.DataFrame({"user_id": ["u"], "item_id": items["item_id"].head(1), "timestamp": [0]})
    return write_dataset(folder, name="some", source="made by a test", items=items, interactions=log, images=images)


def test_titles(scientific: Dataset, tmp_path: Path) -> None:
    dataset = written(tmp_path / "dataset", scientific.items.head(1024))
    assert planned(dataset, "text", "minilm") == pytest.approx(
        happened(dataset, "text", "minilm", tmp_path / "caches"), rel=0.25
    )


def test_pictures(weights_folder: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(256, size=(300, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.jpg")
    names = [f"{n}.jpg" for n in range(384)]
    items = pl.DataFrame({"item_id": names, "title": names, "image": names})
    picture = (tmp_path / "noise.jpg").read_bytes()
    dataset = written(tmp_path / "dataset", items, dict.fromkeys(names, picture))
    name = str(weights_folder / "mobilenet_v2_1.0_224_hf")
    assert planned(dataset, "image", name) == pytest.approx(
        happened(dataset, "image", name, tmp_path / "caches"), rel=0.25
    )
