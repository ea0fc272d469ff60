"""What lies on the shelf of a dataset, and what may go."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from iisan_core.cache.inputs import inputs_of
from iisan_core.cache.inventory import removable, remove, shelved
from iisan_core.cache.lock import only_one
from iisan_core.cache.manifest import CacheManifest
from iisan_core.cache.writer import CacheWriter
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
def shelf(tmp_path: Path, catalogue: Callable[..., Dataset]) -> Path:
    """A whole cache, an unfinished one, one without its array, one without its manifest, and something else."""
    dataset, folder = catalogue(TITLES), tmp_path / "shelf"
    cache(folder / "a-whole", dataset)
    cache(folder / "b-unfinished", dataset, finish=False)
    (cache(folder / "c-lost-states", dataset) / "states.bin").unlink()
    (cache(folder / "d-lost-manifest", dataset) / "manifest.json").unlink()
    (folder / "e-notes").mkdir()
    return folder


def test_every_cache_is_listed_with_its_state(shelf: Path) -> None:
    found = shelved(shelf)
    assert [(c.folder.name, c.state) for c in found] == [
        ("a-whole", "complete"), ("b-unfinished", "unfinished"), ("c-lost-states", "damaged"),
        ("d-lost-manifest", "damaged"),
    ]  # fmt: skip
    assert found[0].disk_bytes == sum(path.stat().st_size for path in (shelf / "a-whole").iterdir())
    assert shelved(shelf / "nowhere") == []


def test_what_serves_the_dataset_stays(shelf: Path, catalogue: Callable[..., Dataset]) -> None:
    names = [entry.cache.folder.name for entry in removable(shelf, catalogue(TITLES))]
    assert names == ["b-unfinished", "c-lost-states", "d-lost-manifest"]
    assert len(removable(shelf, catalogue(TITLES[:2]))) == len(names)  # fewer items are served by the same rows


def test_a_cache_of_changed_items_may_go(shelf: Path, catalogue: Callable[..., Dataset]) -> None:
    first = removable(shelf, catalogue([*TITLES[:2], "green scarf", "mug"]))[0]
    assert (first.cache.folder.name, first.cache.state) == ("a-whole", "complete")
    assert first.reason.startswith("2 of 4 items are new or changed")


def test_a_cache_of_columns_that_are_gone_may_go(shelf: Path, catalogue: Callable[..., Dataset]) -> None:
    whole = catalogue(TITLES)
    other = Dataset(whole.folder, whole.card, whole.items.drop("title"), whole.interactions)
    assert removable(shelf, other)[0].reason.startswith("made from the columns ['title']")


def test_no_cache_goes_under_an_extraction(shelf: Path) -> None:
    with only_one(shelf / "b-unfinished"), pytest.raises(RefusedError, match="is extracting into"):
        remove(shelf / "b-unfinished")
    remove(shelf / "b-unfinished")
    remove(shelf / "d-lost-manifest")
    assert [c.folder.name for c in shelved(shelf)] == ["a-whole", "c-lost-states"]
