"""Caches of states that came as numbers: they serve like extracted ones, and odd ones are refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from iisan_core import Dataset, HiddenStateCache, Recommender, RefusedError, RunFolder, train
from iisan_core.cache.inventory import removable
from iisan_core.config.schema import RunConfig
from iisan_core.finetuning.train import open_setup
from tests.tiny_shop import Shop

pytestmark = pytest.mark.usefixtures("one_thread")


def given(dataset: Dataset, folder: Path, arrays: Any = None, **changed: Any) -> HiddenStateCache:
    ids = dataset.items["item_id"].to_list()
    arrays = np.arange(len(ids) * 4, dtype=np.float32).reshape(-1, 4) if arrays is None else arrays
    options = {"item_ids": ids, "modality": "shape", "made_by": "a test", "folder": folder} | changed
    return HiddenStateCache.from_arrays(dataset, arrays, **options)


def test_rows_are_the_items_own(shop: Shop, tmp_path: Path) -> None:
    ids = shop.dataset.items["item_id"].to_list()
    order = np.random.default_rng(0).permutation(len(ids))[5:]  # five items have none; one id is unknown
    vectors = np.arange((len(order) + 1) * 3, dtype=np.float16).reshape(-1, 3)
    cache = given(shop.dataset, tmp_path, vectors, item_ids=[*(ids[n] for n in order), "nobody's"])
    assert cache.item_ids == ids
    assert set(cache.absent) == set(ids) - {ids[n] for n in order}
    found = cache.gather(cache.rows([ids[n] for n in order]))
    assert torch.equal(found, torch.from_numpy(vectors[:-1]))
    assert (cache.manifest.backbone, cache.manifest.kind, cache.manifest.dtype) == ("a test", "vectors", "float16")
    cache.verify()
    cache.check_matches(shop.dataset)


def test_several_layers_come_as_one_array_or_as_a_list(shop: Shop, tmp_path: Path) -> None:
    n = shop.dataset.items.height
    stacked = np.random.default_rng(0).normal(size=(n, 2, 3)).astype(np.float32)
    cache = given(shop.dataset, tmp_path, stacked)
    assert (cache.manifest.layers, cache.manifest.widths) == ((0, 1), (3, 3))
    assert torch.equal(cache.load(), torch.from_numpy(stacked).flatten(1))
    uneven = given(shop.dataset, tmp_path, [stacked[:, 0], stacked[:, 1, :2].astype(np.float64)])
    assert (uneven.manifest.widths, uneven.manifest.dtype) == ((3, 2), "float32")


def test_the_same_numbers_are_the_same_cache(shop: Shop, tmp_path: Path) -> None:
    first = given(shop.dataset, tmp_path)
    stamp = (first.folder / "states.bin").stat().st_mtime_ns
    assert given(shop.dataset, tmp_path).folder == first.folder
    assert (first.folder / "states.bin").stat().st_mtime_ns == stamp
    assert given(shop.dataset, tmp_path, np.zeros((60, 4), np.float32)).folder != first.folder


def test_a_run_on_given_states_is_the_run_on_extracted_ones(shop: Shop, tmp_path: Path) -> None:
    """Bit for bit: metrics, item vectors and weights."""
    config = shop.config(training={"epochs": 1})
    caches = {}
    for name, folder in shop.caches.items():
        cache = HiddenStateCache.open(folder)
        absent = set(cache.absent)
        ids = [item_id for item_id in cache.item_ids if item_id not in absent]
        layers = cache.gather(cache.rows(ids)).split(list(cache.manifest.widths), dim=1)
        arrays = [layer.numpy() for layer in layers]
        caches[name] = given(shop.dataset, tmp_path / "caches", arrays, item_ids=ids, modality=name).folder
    other = RunConfig.model_validate(config.model_dump() | {"caches": caches})
    runs = [RunFolder(tmp_path / called) for called in ("extracted", "given")]
    for each, run in zip((config, other), runs, strict=True):
        for _ in train(each, run.path):
            pass
    for name in ("items.safetensors", "best/model.safetensors"):
        ours, theirs = ((run.path / name).read_bytes() for run in runs)
        assert ours == theirs, name
    new = Recommender.load(runs[1].path)
    title = pl.DataFrame({"item_id": ["new"], "title": ["red mug"]})
    with pytest.raises(RefusedError, match=r"item 'new' has no .*, so there is nothing to know it by; give one"):
        new.add_items(title)
    width = {name: HiddenStateCache.open(folder).manifest.row_width for name, folder in caches.items()}
    with pytest.raises(RefusedError, match=rf"vector of 'new' has 3 numbers.*the run reads {width['text']}"):
        new.add_items(title, vectors={"text": {"new": [0.0] * 3}})
    with pytest.raises(RefusedError, match="a text vector of 'old', but no such item among the new"):
        new.add_items(title, vectors={"text": {"old": [0.0] * width["text"]}})
    with pytest.raises(RefusedError, match="vectors of 'caption'; vectors are taken for image, text"):
        new.add_items(title, vectors={"caption": {}})
    text = HiddenStateCache.open(caches["text"])
    known = next(i for i in new.item_ids if i not in set(text.absent))
    vectors = {"text": {"new": text.gather(text.rows([known]))[0].tolist()}}
    image = HiddenStateCache.open(caches["image"])
    if known not in set(image.absent):
        vectors["image"] = {"new": image.gather(image.rows([known]))[0].tolist()}
    grown = new.add_items(title, vectors=vectors)
    assert grown.similar_items("new", k=1)[0].item_id == known
    with pytest.raises(RefusedError, match="came as vectors, without the model that made them"):
        open_setup(other, "lora")


def test_a_grown_catalogue_asks_for_vectors_again(catalogue: Callable[..., Dataset], tmp_path: Path) -> None:
    small = catalogue(["red mug", "scarf"])
    cache = given(small, tmp_path)
    further = small.items.with_columns(item_id=pl.col("item_id") + "!")
    grown = Dataset(small.folder, small.card, pl.concat([small.items, further]), small.interactions)
    with pytest.raises(RefusedError, match=r"2 items are new there.*run `iisan data vectors` again"):
        cache.check_matches(grown)
    (found,) = removable(tmp_path, grown)
    assert "a catalogue without 2 of its items" in found.reason
    assert removable(tmp_path, small) == []


N = 60


@pytest.mark.parametrize(
    ("arrays", "changed", "message"),
    [
        (np.zeros(N, np.float32), {}, r"shape \[60\]; one row an item"),
        (np.zeros((N, 0), np.float32), {}, r"shape \[60, 0\]"),
        (np.zeros((N - 1, 2), np.float32), {}, "59 rows for 60 item ids"),
        ([np.zeros((N, 2), np.float32), np.zeros((3, 2), np.float32)], {}, "array 1 has 3 rows"),
        (np.zeros((N, 2), np.int64), {}, "holds int64; vectors are float16, float32, float64"),
        (np.full((N, 2), np.nan, np.float32), {}, "item 'i00' has at place 0 a number that is not finite"),
        (np.full((N, 2), 1e5, np.float32), {"dtype": "float16"}, "not finite in float16 .at most 6.55e.04"),
        (np.zeros((2, 2), np.float32), {"item_ids": ["i01", "i01"]}, "'i01' stands twice"),
        (np.zeros((1, 2), np.float32), {"item_ids": ["x"]}, "none of the 1 vectors is of an item.*first is of 'x'"),
        (np.zeros((N, 2), np.float32), {"modality": "inter"}, "cannot be called 'inter'"),
    ],
)
def test_what_does_not_fit_is_refused(
    shop: Shop, tmp_path: Path, arrays: Any, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(RefusedError, match=message):
        given(shop.dataset, tmp_path, arrays, **changed)
    assert not list(tmp_path.glob("*"))
