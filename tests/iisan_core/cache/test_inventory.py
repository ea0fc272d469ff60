"""What lies in the folder of a dataset's caches, and what may go."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from iisan_core.cache.inputs import inputs_of
from iisan_core.cache.inventory import caches_in, removable, remove
from iisan_core.cache.manifest import CacheManifest
from iisan_core.cache.writer import CacheWriter, only_one
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError

TITLES = ["red mug", "lamp", "blue scarf"]
WIDTH = 4


def cache(folder: Path, dataset: Dataset, *, finish: bool = True) -> Path:
    inputs = inputs_of(dataset, "text", text_fields=("title",))
    plan = CacheManifest(
        dataset=dataset.name, modality="text", backbone="tiny", revision="1", compute_dtype="float32", pooling="mean",
        layers=(0,), widths=(WIDTH,), dtype="float16", text_fields=("title",), max_tokens=30, image_size=None,
        items=len(TITLES), shard_size=2, ids_sha256=inputs.ids_sha256, inputs_sha256=inputs.inputs_sha256, libraries={},
    )  # fmt: skip
    writer = CacheWriter(folder, plan)
    writer.write(0, torch.zeros(2, WIDTH).half(), {})
    if finish:
        writer.write(1, torch.zeros(1, WIDTH).half(), {})
        writer.finish(inputs)
    return folder


@pytest.fixture
def caches(tmp_path: Path, catalogue: Callable[..., Dataset]) -> Path:
    """A whole cache, an unfinished one, one without its array, one without its manifest, and something else."""
    dataset, folder = catalogue(TITLES), tmp_path / "caches"
    cache(folder / "a-whole", dataset)
    cache(folder / "b-unfinished", dataset, finish=False)
    (cache(folder / "c-lost-states", dataset) / "states.bin").unlink()
    (cache(folder / "d-lost-manifest", dataset) / "manifest.json").unlink()
    (folder / "e-notes").mkdir()
    return folder


def test_every_cache_is_listed_with_its_state(caches: Path) -> None:
    found = caches_in(caches)
    assert [(c.folder.name, c.state) for c in found] == [
        ("a-whole", "complete"), ("b-unfinished", "unfinished"), ("c-lost-states", "damaged"),
        ("d-lost-manifest", "damaged"),
    ]  # fmt: skip
    assert found[0].disk_bytes == sum(path.stat().st_size for path in (caches / "a-whole").iterdir())
    assert caches_in(caches / "nowhere") == []


def test_what_serves_the_dataset_stays(caches: Path, catalogue: Callable[..., Dataset]) -> None:
    names = [entry.cache.folder.name for entry in removable(caches, catalogue(TITLES))]
    assert names == ["b-unfinished", "c-lost-states", "d-lost-manifest"]
    assert len(removable(caches, catalogue(TITLES[:2]))) == len(names)  # fewer items are served by the same rows


def test_a_cache_of_changed_items_may_go(caches: Path, catalogue: Callable[..., Dataset]) -> None:
    first = removable(caches, catalogue([*TITLES[:2], "green scarf", "mug"]))[0]
    assert (first.cache.folder.name, first.cache.state) == ("a-whole", "complete")
    assert first.reason.startswith("2 of 4 items are new or changed")


def test_a_cache_of_columns_that_are_gone_may_go(caches: Path, catalogue: Callable[..., Dataset]) -> None:
    whole = catalogue(TITLES)
    other = Dataset(whole.folder, whole.card, whole.items.drop("title"), whole.interactions)
    assert removable(caches, other)[0].reason.startswith("made from the columns ['title']")


def test_no_cache_goes_under_an_extraction(caches: Path) -> None:
    with only_one(caches / "b-unfinished"), pytest.raises(RefusedError, match="is extracting into"):
        remove(caches / "b-unfinished")
    remove(caches / "b-unfinished")
    remove(caches / "d-lost-manifest")
    assert [c.folder.name for c in caches_in(caches)] == ["a-whole", "c-lost-states"]
