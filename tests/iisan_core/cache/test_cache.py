"""The contract of the cache folder, written by hand here: no backbone takes part."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from iisan_core.cache.inputs import CatalogueInputs, inputs_of, sha256_of_fingerprints
from iisan_core.cache.manifest import CacheManifest, CacheSettings
from iisan_core.cache.store import HiddenStateCache
from iisan_core.cache.writer import CacheWriter
from iisan_core.data.dataset import Dataset
from iisan_core.errors import IisanError, RefusedError
from iisan_core.files import read_json, sha256_of_texts, write_json
from iisan_core.files.checksums import CHECKSUMS

TITLES = ["red mug", None, "lamp", "blue scarf", "big mug"]
WIDTHS = (3, 2)


def plan_for(dataset: Dataset, *, dtype: str = "float16", layers: tuple[int, ...] = (0, 2)) -> CacheManifest:
    inputs = inputs_of(dataset, "text", text_fields=("title",))
    return CacheManifest(
        dataset=dataset.name, modality="text", backbone="some/Tiny_BERT", revision="abc", compute_dtype="float32",
        pooling="mean", layers=layers, widths=WIDTHS, dtype=dtype, text_fields=("title",), max_tokens=30,
        image_size=None, items=len(TITLES), shard_size=2, ids_sha256=inputs.ids_sha256,
        inputs_sha256=inputs.inputs_sha256, libraries={},
    )  # fmt: skip


def rows(dtype: torch.dtype = torch.float16) -> Tensor:
    return torch.randn(len(TITLES), sum(WIDTHS), generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.fixture
def dataset(catalogue: Callable[..., Dataset]) -> Dataset:
    return catalogue(TITLES)


def written(folder: Path, dataset: Dataset, *, dtype: str = "float16") -> Path:
    writer = CacheWriter(folder, plan_for(dataset, dtype=dtype))
    for shard in writer.unfinished:
        states = rows(getattr(torch, dtype))[list(writer.rows(shard))]
        writer.write(shard, states, {3: "unreadable"} if shard == 1 else {})
    writer.finish(inputs_of(dataset, "text", text_fields=("title",)))
    return folder


@pytest.fixture
def folder(tmp_path: Path, dataset: Dataset) -> Path:
    return written(tmp_path / "cache", dataset)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_what_is_written_is_read(tmp_path: Path, dataset: Dataset, dtype: str) -> None:
    cache = HiddenStateCache.open(written(tmp_path / "cache", dataset, dtype=dtype))
    expected = rows(getattr(torch, dtype))
    assert cache.load().dtype == expected.dtype
    assert torch.equal(cache.load(), expected)
    assert torch.equal(cache.gather([4, 0, 4]), expected[[4, 0, 4]])
    assert (cache.folder / "states.bin").stat().st_size == expected.numel() * expected.element_size()
    assert cache.gather([]).shape == (0, sum(WIDTHS))
    cache.verify()
    cache.check_matches(dataset)


@given(st.lists(st.integers(0, len(TITLES) - 1), max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_any_rows_in_any_order(folder: Path, wanted: list[int]) -> None:
    assert torch.equal(HiddenStateCache.open(folder).gather(wanted), rows()[wanted])


@pytest.mark.parametrize("wanted", [[-1], [0, 5]])
def test_rows_that_are_not_there(folder: Path, wanted: list[int]) -> None:
    with pytest.raises(IndexError, match="of a cache with 5 rows"):
        HiddenStateCache.open(folder).gather(wanted)


def test_an_array_that_shrinks_under_a_reader(folder: Path) -> None:
    cache = HiddenStateCache.open(folder)
    cache.load()  # its parts are held against their checksums at their first reading
    truncate(folder)
    assert torch.equal(cache.gather([3]), rows()[[3]])
    with pytest.raises(IisanError, match="has become shorter while it was read"):
        cache.gather([4])


def test_items_know_their_rows_and_what_is_missing(folder: Path) -> None:
    cache = HiddenStateCache.open(folder)
    assert cache.item_ids == [f"item{n}" for n in range(len(TITLES))]
    assert cache.rows(["item4", "item0"]).tolist() == [4, 0]
    assert cache.present.tolist() == [True, False, True, False, True]  # no title; a problem
    assert cache.problems == {"item3": "unreadable"}
    assert not (folder / "parts").exists()


def test_opening_reads_no_states(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the array was opened")

    monkeypatch.setattr("os.preadv", refuse)
    cache = HiddenStateCache.open(folder)
    with pytest.raises(AssertionError, match="the array was opened"):
        cache.gather([0])


def test_an_unfinished_cache_resumes_with_its_whole_parts(tmp_path: Path, dataset: Dataset, folder: Path) -> None:
    begun = tmp_path / "begun"
    first = CacheWriter(begun, plan_for(dataset))
    first.write(0, rows()[[0, 1]], {})
    first.write(1, rows()[[2, 3]], {3: "unreadable"})
    with pytest.raises(RefusedError, match="is unfinished; run the same `iisan extract` again"):
        HiddenStateCache.open(begun)
    with (begun / "states.bin").open("r+b") as stream:
        stream.write(b"\xff")  # shard 0 is no longer what its note says
    second = CacheWriter(begun, plan_for(dataset))
    assert (list(second.finished), second.unfinished) == ([1], [0, 2])
    written(begun, dataset)
    for name in ("states.bin", "manifest.json"):
        assert (begun / name).read_bytes() == (folder / name).read_bytes()


def test_another_plan_starts_anew(tmp_path: Path, catalogue: Callable[..., Dataset]) -> None:
    CacheWriter(tmp_path / "cache", plan_for(catalogue(TITLES))).write(0, rows()[[0, 1]], {})
    changed = catalogue(["another mug", *TITLES[1:]])
    assert CacheWriter(tmp_path / "cache", plan_for(changed)).unfinished == [0, 1, 2]


def test_the_folder_name_follows_what_decides_the_states(dataset: Dataset) -> None:
    plan = plan_for(dataset)
    assert plan.folder_name == f"text-tiny-bert-{plan.key}"
    same = plan.model_copy(update={"libraries": {"torch": "9"}, "items": 7, "inputs_sha256": "x", "complete": True})
    assert same.key == plan.key
    others: list[dict[str, object]] = [
        {"revision": "def"}, {"pooling": "cls"}, {"layers": (0, 3)}, {"dtype": "float32"}, {"max_tokens": 20},
        {"text_fields": ("title", "brand")}, {"compute_dtype": "bfloat16"}, {"dataset": "other"},
    ]  # fmt: skip
    keys = {plan.model_copy(update=other).key for other in others}
    assert len(keys | {plan.key}) == len(others) + 1


def test_a_cache_of_another_catalogue(folder: Path, catalogue: Callable[..., Dataset]) -> None:
    cache = HiddenStateCache.open(folder)
    with pytest.raises(RefusedError, match=r"of another catalogue: it has no item 'item5' .it holds 5 items of 'tiny'"):
        cache.rows(["item0", "item5"])
    with pytest.raises(RefusedError, match=r"1 items are new.*the first is 'item5'; run `iisan extract` again"):
        cache.check_matches(catalogue([*TITLES, "steel mug"]))
    with pytest.raises(RefusedError, match="another text than at extraction, the first is 'item2'"):
        cache.check_matches(catalogue(["red mug", None, "green lamp", "blue scarf", "big mug"]))
    cache.check_matches(catalogue(TITLES[:3]))  # a part of the catalogue is served from the same rows


def change_manifest(folder: Path, **values: object) -> None:
    path = folder / "manifest.json"
    write_json(path, read_json(path, what="manifest") | values)


def truncate(folder: Path) -> None:
    raw = (folder / "states.bin").read_bytes()
    (folder / "states.bin").write_bytes(raw[:-1])


def swap_items(folder: Path, dataset: Dataset) -> None:
    other = CacheWriter(folder.with_name("other"), plan_for(dataset))
    for shard in other.unfinished:
        other.write(shard, rows()[list(other.rows(shard))], {})
    inputs = inputs_of(dataset, "text", text_fields=("title",))
    inputs.item_ids.reverse()
    other.finish(inputs)
    (folder / "item_ids.parquet").write_bytes((other.folder / "item_ids.parquet").read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"has 49 bytes, its manifest says 50 \(5 rows of 10\): truncated"),
        (lambda folder: (folder / "states.bin").unlink(), "has 0 bytes, its manifest says 50"),
        (lambda folder: change_manifest(folder, format_version=2), "format version 2, this program reads 1"),
        (lambda folder: change_manifest(folder, widths=[3, 2, 1]), "names 2 layers and 3 widths"),
        (lambda folder: change_manifest(folder, widths=[3, 3]), "has 50 bytes, its manifest says 60"),
        (lambda folder: change_manifest(folder, surprise=1), "surprise: unknown key"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "manifest.json").unlink(), "no hidden-state cache at"),
        (lambda folder: (folder / "item_ids.parquet").unlink(), "item_ids.parquet cannot be read"),
        (lambda folder: (folder / "item_ids.parquet").write_bytes(b"x"), "item_ids.parquet cannot be read"),
    ],
)
def test_a_damaged_cache_is_refused(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder)
    with pytest.raises(RefusedError, match=message):
        HiddenStateCache.open(folder)


def test_items_of_another_cache_are_refused(folder: Path, dataset: Dataset) -> None:
    swap_items(folder, dataset)
    with pytest.raises(RefusedError, match="lists other items than the manifest"):
        HiddenStateCache.open(folder)


def test_a_changed_byte_is_found_by_its_part(folder: Path) -> None:
    with (folder / "states.bin").open("r+b") as stream:
        stream.seek(3 * 10)
        stream.write(b"\xff\xff")
    with pytest.raises(IisanError, match=r"part 1 \(rows 2 to 3\) has checksum"):
        HiddenStateCache.open(folder).verify()


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(IisanError, match=r"needs 50 bytes, .* are free there .No space left on device"):
        CacheWriter(tmp_path / "cache", plan_for(dataset))
    assert not (tmp_path / "cache").exists()


def append_plan(folder: Path) -> tuple[CacheManifest, CatalogueInputs]:
    """Two more rows for the cache in `folder`."""
    cache = HiddenStateCache.open(folder)
    new = CatalogueInputs(["item5", "item6"], ["wool", None], ["f5", None])
    changes = {
        "items": len(TITLES) + 2,
        "ids_sha256": sha256_of_texts(cache.item_ids + new.item_ids),
        "inputs_sha256": sha256_of_fingerprints(cache.fingerprints + new.fingerprints),
        "complete": False,
    }
    return cache.manifest.model_copy(update=changes), new


def test_a_reader_sees_the_old_cache_until_the_manifest_is_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = HiddenStateCache.open(folder)
    plan, new = append_plan(folder)
    writer = CacheWriter(folder, plan)
    writer.write(0, torch.ones(2, sum(WIDTHS)).half(), {0: "unreadable"})
    with monkeypatch.context() as killed:
        killed.setattr("iisan_core.cache.writer.write_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            writer.finish(new)  # the item table is the new one, the manifest is not
    between = HiddenStateCache.open(folder)
    assert between.item_ids == before.item_ids
    assert torch.equal(between.load(), rows())
    again = CacheWriter(folder, plan)
    assert again.unfinished == []
    again.finish(new)
    after = HiddenStateCache.open(folder)
    assert after.item_ids == [*before.item_ids, "item5", "item6"]
    assert after.present.tolist() == [*before.present.tolist(), False, False]
    assert after.problems == before.problems | {"item5": "unreadable"}
    assert torch.equal(after.load(), torch.cat([rows(), torch.ones(2, sum(WIDTHS)).half()]))
    after.verify()
    assert torch.equal(before.load(), rows())  # whoever had it open before goes on


def test_a_kill_while_an_append_starts_over_keeps_the_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = append_plan(folder)
    CacheWriter(folder, plan).write(0, torch.ones(2, sum(WIDTHS)).half(), {})
    with monkeypatch.context() as killed:
        killed.setattr("os.posix_fallocate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            CacheWriter(folder, plan.model_copy(update={"items": len(TITLES) + 1}))  # the catalogue changed meanwhile
    HiddenStateCache.open(folder).verify()
    assert CacheWriter(folder, plan).unfinished == [0]


def test_changed_fingerprints_are_found(folder: Path) -> None:
    (folder / CHECKSUMS).unlink()  # as in caches of before there were any
    table = pl.read_parquet(folder / "item_ids.parquet").with_columns(fingerprint=pl.lit("0"))
    table.write_parquet(folder / "item_ids.parquet")
    with pytest.raises(IisanError, match="has other fingerprints than the manifest"):
        HiddenStateCache.open(folder).verify()


def test_a_full_disk_during_an_append_keeps_the_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    plan, _ = append_plan(folder)
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(IisanError, match="needs 20 bytes"):
        CacheWriter(folder, plan)
    assert not (folder / "append").exists()
    HiddenStateCache.open(folder).verify()


def test_rows_that_nothing_explains_are_refused(folder: Path) -> None:
    with (folder / "states.bin").open("ab") as stream:
        stream.write(b"\0" * 10)
    with pytest.raises(RefusedError, match="has 60 bytes, its manifest says 50"):
        HiddenStateCache.open(folder)


def test_settings_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValueError, match="pooling"):
        CacheSettings.model_validate({"pooling": "max"})
