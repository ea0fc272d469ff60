"""The record of a dataset's files: who is read again, who is not, and what only a deep check finds."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from iisan_core.cache import digests
from iisan_core.cache.digests import DIGESTS, changed_files
from iisan_core.cache.inputs import inputs_of
from iisan_core.data.dataset import Dataset
from iisan_core.files import sha256_of_file, sha256_of_texts

ITEMS = 4


@pytest.fixture
def dataset(catalogue: Callable[..., Dataset]) -> Dataset:
    return catalogue([f"thing {n}" for n in range(ITEMS)])


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now are taken for old ones."""
    monkeypatch.setattr(digests, "SETTLED_NS", -(10**12))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose bytes are read, as they are."""
    names: list[str] = []

    def noted(path: Path) -> str:
        names.append(path.name)
        return sha256_of_file(path)

    monkeypatch.setattr(digests, "sha256_of_file", noted)
    return names


def fingerprints(dataset: Dataset, kind: str = "image") -> list[str | None]:
    return inputs_of(dataset, kind, text_fields=None).fingerprints  # type: ignore[arg-type]


def of_bytes(dataset: Dataset) -> list[str]:
    return [sha256_of_file(path) for path in dataset.image_paths() if path is not None]


@pytest.mark.usefixtures("settled")
def test_no_picture_is_read_twice(dataset: Dataset, read: list[str]) -> None:
    first = fingerprints(dataset)
    assert sorted(read) == [f"{n}.png" for n in range(ITEMS)]
    assert fingerprints(dataset) == first == of_bytes(dataset)
    assert len(read) == ITEMS
    table = pl.read_parquet(dataset.folder / DIGESTS)
    assert table["path"].to_list() == [f"images/{n}.png" for n in range(ITEMS)]
    assert table["sha256"].to_list() == first


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("grows", [True, False])
def test_a_changed_picture_is_read_again_and_no_other(dataset: Dataset, read: list[str], grows: bool) -> None:
    before = fingerprints(dataset)
    read.clear()
    picture = dataset.folder / "images/2.png"
    facts = picture.stat()
    if grows:
        picture.write_bytes(picture.read_bytes() + b" ")
        os.utime(picture, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    else:
        picture.write_bytes(picture.read_bytes()[::-1])
        os.utime(picture, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    after = fingerprints(dataset)
    assert read == ["2.png"]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, True]
    assert after == of_bytes(dataset)
    assert fingerprints(dataset) == after and read == ["2.png"]


def forge(picture: Path, dataset: Dataset) -> None:
    """Other bytes under the size and times that are recorded, as a failing disk would leave them."""
    facts = picture.stat()
    picture.write_bytes(picture.read_bytes()[::-1])
    os.utime(picture, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    table = pl.read_parquet(dataset.folder / DIGESTS)
    this = pl.col("path") == picture.relative_to(dataset.folder).as_posix()
    ctime = pl.when(this).then(picture.stat().st_ctime_ns).otherwise("ctime_ns").alias("ctime_ns")
    table.with_columns(ctime).write_parquet(dataset.folder / DIGESTS)


@pytest.mark.usefixtures("settled")
def test_what_neither_size_nor_times_show_is_found_by_reading_all(dataset: Dataset, read: list[str]) -> None:
    before = fingerprints(dataset)
    assert changed_files(dataset) == ([], 0)
    forge(dataset.folder / "images/1.png", dataset)
    record = (dataset.folder / DIGESTS).read_bytes()
    read.clear()
    assert fingerprints(dataset) == before and read == []
    assert changed_files(dataset) == (["images/1.png"], 0)
    assert len(read) == ITEMS
    assert (dataset.folder / DIGESTS).read_bytes() == record


@pytest.mark.usefixtures("settled")
def test_a_forged_time_of_change_alone_is_seen_at_once(dataset: Dataset, read: list[str]) -> None:
    fingerprints(dataset)
    read.clear()
    picture = dataset.folder / "images/1.png"
    facts = picture.stat()
    picture.write_bytes(picture.read_bytes()[::-1])
    os.utime(picture, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert fingerprints(dataset) == of_bytes(dataset)
    assert read == ["1.png"]


def test_a_file_that_changed_just_now_is_not_recorded(dataset: Dataset, read: list[str]) -> None:
    assert fingerprints(dataset) == fingerprints(dataset) == of_bytes(dataset)
    assert len(read) == 2 * ITEMS
    assert not (dataset.folder / DIGESTS).exists()
    assert changed_files(dataset) == ([], ITEMS)


@pytest.mark.usefixtures("settled")
def test_a_folder_that_cannot_be_written_is_no_fault(
    dataset: Dataset, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(digests, "replacing", refused)
    assert fingerprints(dataset) == fingerprints(dataset) == of_bytes(dataset)
    assert len(read) == 2 * ITEMS
    monkeypatch.undo()
    (dataset.folder / DIGESTS).mkdir()
    assert fingerprints(dataset) == of_bytes(dataset)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("damage", [b"", b"PAR1 nothing else", None])
def test_a_record_that_cannot_be_used_is_made_anew(dataset: Dataset, read: list[str], damage: bytes | None) -> None:
    if damage is None:
        pl.DataFrame({"path": ["images/0.png"], "size": ["many"]}).write_parquet(dataset.folder / DIGESTS)
    else:
        (dataset.folder / DIGESTS).write_bytes(damage)
    assert fingerprints(dataset) == fingerprints(dataset) == of_bytes(dataset)
    assert len(read) == ITEMS


@pytest.mark.usefixtures("settled")
def test_several_at_once_leave_one_whole_record(dataset: Dataset) -> None:
    expected, found = of_bytes(dataset), []
    threads = [threading.Thread(target=lambda: found.append(fingerprints(dataset))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8
    assert pl.read_parquet(dataset.folder / DIGESTS)["sha256"].to_list() == expected
    assert [path.name for path in dataset.folder.glob("*.tmp")] == []


@pytest.mark.usefixtures("settled")
def test_a_video_is_the_digests_of_its_frames_and_what_is_gone_is_forgotten(dataset: Dataset, read: list[str]) -> None:
    folder = dataset.folder / "clips/a"
    folder.mkdir(parents=True)
    for n in range(3):
        (folder / f"{n}.png").write_bytes(bytes([n]))
    (folder / ".hidden").write_bytes(b"")
    (dataset.folder / "clips/empty").mkdir()
    names = pl.Series("video", ["clips/a", "clips/empty", "clips/nowhere", None])
    filmed = Dataset(dataset.folder, dataset.card, dataset.items.with_columns(names), dataset.interactions)
    of_frames = sha256_of_texts(f"{n}.png\0{sha256_of_file(folder / f'{n}.png')}" for n in range(3))
    assert fingerprints(filmed, "video") == [of_frames, sha256_of_texts([]), None, None]
    assert fingerprints(filmed) == of_bytes(filmed)
    assert len(read) == 3 + ITEMS
    (folder / "1.png").unlink()
    (folder / "2.png").write_bytes(b"other")
    assert fingerprints(filmed, "video")[0] not in (of_frames, None)
    assert len(read) == 3 + ITEMS + 1
    left = pl.read_parquet(filmed.folder / DIGESTS)["path"].to_list()
    assert left == ["clips/a/0.png", "clips/a/2.png", *(f"images/{n}.png" for n in range(ITEMS))]
