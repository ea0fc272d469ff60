"""From a catalogue to a cache, and what happens when the way is interrupted."""

import errno
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch

from iisan_core.backbones.base import Backbone
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import ExtractionProgress, extract, plan_cache
from iisan_core.cache.inputs import CatalogueInputs
from iisan_core.cache.manifest import CacheSettings
from iisan_core.cache.store import HiddenStateCache
from iisan_core.data.dataset import Dataset
from iisan_core.errors import IisanError, RefusedError
from iisan_core.runs.workspace import Workspace

pytestmark = pytest.mark.usefixtures("one_thread")

TITLES: list[str | None] = ["red mug", "big steel lamp small", None, "scarf", "blue wool scarf big", "mug", "lamp big"]
ALL_LAYERS = CacheSettings(layers="all")


@pytest.fixture
def dataset(catalogue: Callable[..., Dataset]) -> Dataset:
    return catalogue(TITLES, pictures=[True, True, True, False, True, True, True])


def run(
    dataset: Dataset, backbone: Backbone, folder: Path, settings: CacheSettings = ALL_LAYERS
) -> tuple[HiddenStateCache, ExtractionProgress]:
    *_, last = extract(dataset, backbone, settings, folder=folder, batch_size=2, shard_size=3)
    return HiddenStateCache.open(last.folder), last


def pooled(backbone: Backbone, values: list[object]) -> torch.Tensor:
    """Each input on its own, in order: `[len(values), ΣD]`."""
    batches = [next(backbone.batches([value], batch_size=1, size=None)) for value in values]
    layers = range(backbone.n_layers + 1)
    return torch.cat([backbone.encode(batch.load().tensors, layers=layers, pooling="mean") for batch in batches])


def test_rows_are_the_pooled_states_of_their_items(dataset: Dataset, bert: Backbone, tmp_path: Path) -> None:
    cache, last = run(dataset, bert, tmp_path)
    has_title = [n for n, title in enumerate(TITLES) if title is not None]
    expected = pooled(bert, [TITLES[n] for n in has_title])
    assert cache.present.tolist() == [title is not None for title in TITLES]
    assert cache.manifest.widths == (16,) * 4
    # float16 keeps 11 bits: half a unit in the last place, and the rounding of another batch order.
    torch.testing.assert_close(cache.gather(has_title).float(), expected, rtol=2**-11, atol=1e-5)
    assert (last.done, last.total, last.computed) == (len(TITLES),) * 3
    inputs = CatalogueInputs(["-"], [None], [None])  # the catalogue's content does not enter the name
    assert last.folder == tmp_path / plan_cache(dataset, bert, ALL_LAYERS, inputs=inputs, shard_size=1).folder_name
    cache.verify()
    cache.check_matches(dataset)


def test_pictures_missing_unreadable_or_not_named(dataset: Dataset, vit: Backbone, tmp_path: Path) -> None:
    (dataset.folder / "images/1.png").write_bytes(b"no picture")
    (dataset.folder / "images/5.png").unlink()
    cache, _ = run(dataset, vit, tmp_path)
    assert cache.present.tolist() == [True, False, True, False, True, False, True]
    assert sorted(cache.problems) == ["item1", "item5"]  # item3 names no picture: nothing is wrong with that
    paths = dataset.image_paths()
    expected = pooled(vit, [paths[0], paths[6]])
    torch.testing.assert_close(cache.gather([0, 6]).float(), expected, rtol=2**-11, atol=1e-5)


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_an_abandoned_extraction_resumes_to_the_same_bytes(
    dataset: Dataset, bert: Backbone, tmp_path: Path, stop_after: int
) -> None:
    undisturbed, _ = run(dataset, bert, tmp_path / "undisturbed")
    progress = extract(dataset, bert, ALL_LAYERS, folder=tmp_path / "broken", batch_size=2, shard_size=3)
    seen = list(islice(progress, stop_after))
    progress.close()
    resumed, last = run(dataset, bert, tmp_path / "broken")
    kept = last.total - last.computed
    assert kept <= seen[-1].done < last.total
    assert kept == seen[-1].done // 3 * 3  # whole parts of three are not computed again
    for name in ("states.bin", "manifest.json", "item_ids.parquet"):
        assert (resumed.folder / name).read_bytes() == (undisturbed.folder / name).read_bytes()


def test_a_complete_cache_is_used_as_it_is(dataset: Dataset, bert: Backbone, tmp_path: Path) -> None:
    cache, _ = run(dataset, bert, tmp_path)
    written = (cache.folder / "manifest.json").stat().st_mtime_ns
    records = list(extract(dataset, bert, ALL_LAYERS, folder=tmp_path))
    assert [(record.done, record.computed) for record in records] == [(len(TITLES), 0)]
    assert (cache.folder / "manifest.json").stat().st_mtime_ns == written


def test_only_new_and_changed_items_are_computed(
    catalogue: Callable[..., Dataset], bert: Backbone, tmp_path: Path
) -> None:
    before, _ = run(catalogue(TITLES), bert, tmp_path)
    old = before.load()
    changed = catalogue([*TITLES[:4], None, "green mug", "lamp big", "steel lamp", None, "wool"])
    after, last = run(changed, bert, tmp_path)
    assert after.folder == before.folder
    assert (last.done, last.total, last.computed) == (10, 10, 5)  # items 4 and 5 changed, 7 to 9 are new
    assert torch.equal(after.load()[: len(TITLES)], old)
    assert after.rows([f"item{n}" for n in range(10)]).tolist() == [0, 1, 2, 3, 7, 8, 6, 9, 10, 11]
    assert after.present[after.rows(["item4", "item5", "item8"])].tolist() == [False, True, False]
    assert sorted(after.absent) == ["item2", "item4", "item8"]
    expected = pooled(bert, ["green mug", "steel lamp", "wool"])
    found = after.gather(after.rows(["item5", "item7", "item9"])).float()
    torch.testing.assert_close(found, expected, rtol=2**-11, atol=1e-5)
    assert after.superseded == 2
    after.verify()
    after.check_matches(changed)
    assert run(changed, bert, tmp_path)[1].computed == 0
    assert not (after.folder / "append").exists()


def test_an_append_reads_no_old_row(
    catalogue: Callable[..., Dataset], bert: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, _ = run(catalogue(TITLES), bert, tmp_path)
    seen: list[int] = []
    encode = type(bert).encode

    def counted(self: Backbone, tensors: dict[str, torch.Tensor], *, layers: list[int], pooling: str) -> torch.Tensor:
        seen.append(len(tensors["input_ids"]))
        return encode(self, tensors, layers=layers, pooling=pooling)

    monkeypatch.setattr(type(bert), "encode", counted)
    raw = (cache.folder / "states.bin").read_bytes()
    (cache.folder / "states.bin").write_bytes(b"\xff" * len(raw))  # an append that read rows would meet these
    run(catalogue([*TITLES, "wool mug"]), bert, tmp_path)
    assert seen == [1]
    assert (cache.folder / "states.bin").read_bytes()[: len(raw)] == b"\xff" * len(raw)


def test_items_that_left_stay_until_they_are_wanted_again(
    catalogue: Callable[..., Dataset], bert: Backbone, tmp_path: Path
) -> None:
    before, _ = run(catalogue(TITLES), bert, tmp_path)
    assert run(catalogue(TITLES[:3]), bert, tmp_path)[1].computed == 0
    assert run(catalogue(TITLES), bert, tmp_path)[1].computed == 0
    assert HiddenStateCache.open(before.folder).manifest.items == len(TITLES)


def test_more_superseded_rows_than_others_make_a_new_cache(
    catalogue: Callable[..., Dataset], bert: Backbone, tmp_path: Path
) -> None:
    run(catalogue(["mug", "lamp"]), bert, tmp_path)
    grown, last = run(catalogue(["red mug", "red lamp"]), bert, tmp_path)
    assert (grown.manifest.items, grown.superseded, last.computed) == (4, 2, 2)
    anew, last = run(catalogue(["big mug", "red lamp"]), bert, tmp_path)
    assert (anew.manifest.items, anew.superseded, last.computed) == (2, 0, 2)
    assert anew.folder == grown.folder


def test_a_picture_that_appears_is_no_problem_any_more(
    catalogue: Callable[..., Dataset], vit: Backbone, tmp_path: Path
) -> None:
    dataset = catalogue(TITLES)
    picture = dataset.folder / "images/2.png"
    raw = picture.read_bytes()
    picture.unlink()
    before, _ = run(dataset, vit, tmp_path)
    assert list(before.problems) == ["item2"]
    picture.write_bytes(raw)
    after, last = run(dataset, vit, tmp_path)
    assert (after.problems, last.computed) == ({}, 1)
    assert after.present[after.rows(["item2"])].all()


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_an_abandoned_append_resumes_and_disturbs_no_reader(
    catalogue: Callable[..., Dataset], bert: Backbone, tmp_path: Path, stop_after: int
) -> None:
    grown = [*TITLES, *(f"{title} wool" for title in TITLES)]
    for place in ("undisturbed", "broken"):
        before, _ = run(catalogue(TITLES), bert, tmp_path / place)
    undisturbed, _ = run(catalogue(grown), bert, tmp_path / "undisturbed")
    old = before.load()
    progress = extract(catalogue(grown), bert, ALL_LAYERS, folder=tmp_path / "broken", batch_size=2, shard_size=3)
    seen = list(islice(progress, stop_after))
    progress.close()
    reader = HiddenStateCache.open(before.folder)
    assert reader.item_ids == before.item_ids
    assert torch.equal(reader.load(), old)
    reader.verify()
    resumed, last = run(catalogue(grown), bert, tmp_path / "broken")
    assert last.computed == len(TITLES) - seen[-1].computed // 3 * 3  # whole parts of three are not computed again
    for name in ("states.bin", "manifest.json", "item_ids.parquet"):
        assert (resumed.folder / name).read_bytes() == (undisturbed.folder / name).read_bytes()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fills_up_keeps_what_is_finished(
    dataset: Dataset, bert: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    undisturbed, _ = run(dataset, bert, tmp_path / "undisturbed")
    records = extract(dataset, bert, ALL_LAYERS, folder=tmp_path / "full", batch_size=2, shard_size=3)
    while next(records).computed < 5:  # the first shard is written
        pass
    with monkeypatch.context() as disk:
        owner = Path if call == "replace" else os
        disk.setattr(owner, call, lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(IisanError, match=r"cannot be written: No space left on .* what is finished is kept"):
            list(records)
    resumed, last = run(dataset, bert, tmp_path / "full")
    assert last.computed == len(TITLES) - 3
    for name in ("states.bin", "manifest.json", "item_ids.parquet"):
        assert (resumed.folder / name).read_bytes() == (undisturbed.folder / name).read_bytes()


def test_a_second_extraction_into_the_same_cache_is_refused(dataset: Dataset, bert: Backbone, tmp_path: Path) -> None:
    first = extract(dataset, bert, ALL_LAYERS, folder=tmp_path, batch_size=2, shard_size=3)
    next(first)
    with pytest.raises(RefusedError, match=rf"process {os.getpid()} on .* is extracting into .*; wait until"):
        run(dataset, bert, tmp_path)
    first.close()
    assert run(dataset, bert, tmp_path)[1].done == len(TITLES)


def test_other_settings_are_another_cache(dataset: Dataset, bert: Backbone, tmp_path: Path) -> None:
    first, _ = run(dataset, bert, tmp_path)
    second, _ = run(dataset, bert, tmp_path, CacheSettings(layers="0,-1", dtype="bfloat16", pooling="cls"))
    assert first.folder != second.folder
    assert second.manifest.layers == (0, 3)
    assert second.load().dtype == torch.bfloat16
    assert run(dataset, bert, tmp_path, CacheSettings(layers=(0, 1, 2, 3), image_size=64))[0].folder == first.folder


def test_the_first_token_of_a_decoder_is_refused(
    dataset: Dataset, llama_folder: Path, bert: Backbone, tmp_path: Path
) -> None:
    llama = load_backbone(llama_folder, "text")
    with pytest.raises(RefusedError, match=r"pooling 'cls' of .*llama: it is a causal decoder, .*; choose mean or"):
        run(dataset, llama, tmp_path, CacheSettings(pooling="cls"))
    assert not any(tmp_path.glob("text-tiny-llama*"))
    assert run(dataset, llama, tmp_path, CacheSettings(pooling="last"))[1].done == len(TITLES)
    assert llama.first_token_is_blind()
    assert not bert.first_token_is_blind()


def test_a_catalogue_without_any_text(catalogue: Callable[..., Dataset], bert: Backbone, tmp_path: Path) -> None:
    cache, last = run(catalogue([None] * 4), bert, tmp_path)
    assert not cache.present.any()
    assert (last.done, cache.load().abs().sum().item()) == (4, 0)


def test_states_beyond_the_number_format_are_refused(
    dataset: Dataset, bert: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = type(bert).encode
    monkeypatch.setattr(type(bert), "encode", lambda self, *args, **kw: encode(self, *args, **kw) + 1e5)
    with pytest.raises(IisanError, match=r"layer 0 has a state that is not finite in float16 .*choose dtype bfloat16"):
        run(dataset, bert, tmp_path)
    cache, _ = run(dataset, bert, tmp_path, CacheSettings(layers="all", dtype="bfloat16"))
    assert cache.load().isfinite().all()


def test_refusals_come_before_any_work(dataset: Dataset, bert: Backbone, vit: Backbone, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="layer 9 does not exist: the encoder has layers 0 to 3"):
        run(dataset, bert, tmp_path, CacheSettings(layers=(9,)))
    with pytest.raises(RefusedError, match="allowed are cls, mean"):
        run(dataset, vit, tmp_path, CacheSettings(pooling="last"))
    assert not any(tmp_path.glob("text-*")) and not any(tmp_path.glob("image-*"))


def test_two_datasets_of_one_name_have_a_shelf_each(
    catalogue: Callable[..., Dataset], bert: Backbone, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    first = written(catalogue(["red mug", "lamp"]), tmp_path / "a" / "tiny")
    second = written(catalogue(["wool scarf", "big lamp"]), tmp_path / "b" / "tiny")
    of_first, _ = run(first, bert, workspace.caches(first))
    of_second, last = run(second, bert, workspace.caches(second))
    assert of_first.folder.parent.name == "tiny"
    assert of_second.folder.parent.name.startswith("tiny-")
    assert (last.computed, of_second.superseded) == (2, 0)
    HiddenStateCache.open(of_first.folder).check_matches(first)
    assert workspace.only_caches(second) == {"text": of_second.folder}
    moved = Dataset(first.folder.rename(tmp_path / "c"), first.card, first.items, first.interactions)
    assert workspace.caches(moved) == of_first.folder.parent, "a dataset that has moved finds its caches"
    assert workspace.caches(second) == of_second.folder.parent, "and the other one keeps its own"


def written(dataset: Dataset, folder: Path) -> Dataset:
    """The same catalogue at another place, as a folder that can be told to be a dataset's."""
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text("{}")
    return Dataset(folder, dataset.card, dataset.items, dataset.interactions)
