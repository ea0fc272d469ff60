"""Captions of a catalogue: batches, resumption after kills, growth, frames, and what is refused."""

import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pytest

from data_tools.captions.caption import Journal, caption_items
from data_tools.captions.progress import CaptionProgress
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError


@dataclass
class Counting:
    """Says the size and number of the pictures, and counts its batches."""

    settings: dict[str, Any] = field(default_factory=lambda: {"model": "counting"})
    batches: list[int] = field(default_factory=list)

    def caption(self, items):
        self.batches.append(len(items))
        return [f"{len(p)} of {p[0].size[0]}, first pixel {p[0].getpixel((0, 0))}" for p in items]


def captions(dataset, column="caption"):
    return dict(Dataset.load(dataset.folder).items.select("item_id", column).iter_rows())


def test_every_item_with_a_picture_is_described_in_batches(shop):
    dataset, captioner = shop(), Counting()
    *_, last = caption_items(dataset.folder, captioner, batch_size=4)
    assert captioner.batches == [4, 2]
    assert last == CaptionProgress(total=6, found=0, written=6)
    found = captions(dataset)
    assert found["i1"] is None
    assert len({text for text in found.values() if text}) == 6
    again = Dataset.load(dataset.folder)
    assert again.text_columns == ["title", "caption"]
    assert again.texts(("caption",))[1] is None
    assert again.card.reported["items_without_caption"] == 1


def test_what_was_broken_off_goes_on(shop):
    dataset, first, second = shop(), Counting(), Counting()
    progress = caption_items(dataset.folder, first, batch_size=2)
    next(progress), next(progress)
    progress.close()
    assert sum(text is not None for text in captions(dataset).values()) == 2
    records = list(caption_items(dataset.folder, second, batch_size=2))
    assert (records[0].found, second.batches) == (2, [2, 2])
    assert sum(text is not None for text in captions(dataset).values()) == 6


KILLED = """
import os, sys
from data_tools.captions.caption import caption_items
class Dying:
    settings = {"model": "counting"}
    left = int(sys.argv[2])
    def caption(self, items):
        if not self.left:
            os._exit(9)
        self.left -= 1
        return [f"{len(p)} of {p[0].size[0]}, first pixel {p[0].getpixel((0, 0))}" for p in items]
list(caption_items(sys.argv[1], Dying(), batch_size=1))
"""


@pytest.mark.long
def test_kills_lose_and_repeat_nothing(shop):
    dataset = shop()
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-c", KILLED, dataset.folder, "2"], check=False)
        journal = dataset.folder / "captions" / "caption.jsonl"
        with journal.open("ab") as stream:
            stream.write(b'{"item_id": "i6", "capt')  # a kill within a line
        assert ended.returncode == 9
    captioner = Counting()
    records = list(caption_items(dataset.folder, captioner))
    assert (records[0].found, captioner.batches) == (4, [2])
    killed = captions(dataset)
    list(caption_items(dataset.folder, captioner, overwrite=True))
    assert captions(dataset) == killed


@pytest.mark.usefixtures("by_hand")
def test_new_items_alone_are_described(shop):
    dataset = shop(6)
    list(caption_items(dataset.folder, Counting()))
    more = pl.concat([dataset.items, dataset.items[:1].with_columns(item_id=pl.lit("new"))])
    items = Dataset.load(dataset.folder).items
    more.join(items.select("item_id", "caption"), on="item_id", how="left").write_parquet(
        dataset.folder / "items.parquet"
    )
    captioner = Counting()
    list(caption_items(dataset.folder, captioner))
    assert captioner.batches == [1]
    assert captions(dataset)["new"] == captions(dataset)["i0"]


def test_unreadable_pictures_are_named_and_tried_again(shop):
    dataset = shop()
    whole = (dataset.folder / "images" / "i2.png").read_bytes()
    (dataset.folder / "images" / "i2.png").write_bytes(whole[:60])
    (dataset.folder / "images" / "i3.png").unlink()
    *_, last = caption_items(dataset.folder, Counting(), batch_size=2)
    assert (last.written, set(last.failures)) == (4, {"i2", "i3"})
    assert captions(dataset)["i2"] is None
    (dataset.folder / "images" / "i2.png").write_bytes(whole)
    *_, last = caption_items(dataset.folder, Counting())
    assert (last.found, last.written, set(last.failures)) == (4, 1, {"i3"})


@pytest.mark.usefixtures("by_hand")
def test_frames_of_videos_are_described_together(shop, picture):
    dataset = shop(3)
    for n, count in enumerate((7, 2)):
        (dataset.folder / "videos" / str(n)).mkdir(parents=True)
        for frame in range(count):
            picture(frame).save(dataset.folder / "videos" / str(n) / f"{frame:03}.jpg")
    videos = pl.Series("video", ["videos/0", "videos/1", None])
    dataset.items.with_columns(videos).write_parquet(dataset.folder / "items.parquet")
    list(caption_items(dataset.folder, Counting(), origin="video", frames=3, column="seen"))
    found = captions(dataset, "seen")
    assert found["i0"].startswith("3 of 40")
    assert found["i1"].startswith("2 of 40")
    assert found["i2"] is None


@pytest.mark.usefixtures("by_hand")
def test_videos_that_cannot_be_read_are_named(shop):
    dataset = shop(3)
    (dataset.folder / "empty").mkdir()
    videos = pl.Series("video", ["empty", "images", "gone.mp4"])
    dataset.items.with_columns(videos).write_parquet(dataset.folder / "items.parquet")
    *_, last = caption_items(dataset.folder, Counting(), origin="video", frames=2)
    assert last.written == 1
    assert "holds no frames" in last.failures["i0"]
    assert "gone.mp4" in last.failures["i2"]


def test_other_settings_are_refused_unless_asked_for(shop):
    dataset = shop()
    list(caption_items(dataset.folder, Counting()))
    other = Counting(settings={"model": "another"})
    with pytest.raises(RefusedError, match="holds captions made with model 'counting'; write to another --field"):
        list(caption_items(dataset.folder, other))
    list(caption_items(dataset.folder, other, column="second"))
    assert Dataset.load(dataset.folder).text_columns == ["title", "caption", "second"]
    list(caption_items(dataset.folder, other, overwrite=True))
    assert other.batches == [6, 6]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"column": "title"}, "field 'title': give a plain name"),
        ({"column": "../x"}, "field '../x': give a plain name"),
        ({"batch_size": 0}, "both must be at least 1"),
        ({"origin": "video"}, "names no video files"),
        ({"column": "image"}, "field 'image': give a plain name"),
    ],
)
def test_nonsense_is_refused(shop, options, match):
    with pytest.raises(RefusedError, match=match):
        list(caption_items(shop().folder, Counting(), **options))


@pytest.mark.usefixtures("by_hand")
def test_texts_of_the_source_are_never_overwritten(shop):
    dataset = shop()
    dataset.items.with_columns(plot=pl.lit("long")).write_parquet(dataset.folder / "items.parquet")
    with pytest.raises(RefusedError, match="has texts in 'plot' that no captioning wrote"):
        list(caption_items(dataset.folder, Counting(), column="plot", overwrite=True))


@pytest.mark.usefixtures("by_hand")
def test_a_catalogue_without_pictures_is_refused_and_gets_no_column(shop):
    dataset = shop()
    dataset.items.with_columns(image=pl.lit(None, pl.String)).write_parquet(dataset.folder / "items.parquet")
    with pytest.raises(RefusedError, match=r"no item of .* has a picture \(`iisan data images` fetches them"):
        list(caption_items(dataset.folder, Counting()))
    assert Dataset.load(dataset.folder).text_columns == ["title"]


@pytest.mark.parametrize(("line", "damage"), [(1, b"[]"), (1, b"\xff"), (2, b'{"item_id": "i0"}'), (3, b"caption")])
def test_a_damaged_journal_is_refused_unless_written_anew(shop, line, damage):
    dataset = shop()
    list(caption_items(dataset.folder, Counting()))
    path = dataset.folder / "captions" / "caption.jsonl"
    lines = path.read_bytes().splitlines()
    lines[line - 1] = damage
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(RefusedError, match=rf"caption.jsonl, line {line}: no record of a captioning; remove the line"):
        list(caption_items(dataset.folder, Counting()))
    *_, last = caption_items(dataset.folder, Counting(), overwrite=True)
    assert last.written == 6


def test_two_at_once_are_refused(shop):
    dataset = shop()
    with (
        Journal(dataset.folder / "captions" / "caption.jsonl").only_one(),
        pytest.raises(RefusedError, match="another process is writing"),
    ):
        list(caption_items(dataset.folder, Counting()))
