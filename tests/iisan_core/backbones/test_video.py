"""Videos as evenly sampled frames: a folder of pictures or a file, the average of the frames' pooled states."""

from __future__ import annotations

import sys
from pathlib import Path

import av
import pytest
import torch
from PIL import Image

from iisan_core.backbones.base import Backbone
from iisan_core.backbones.loading import load_backbone
from iisan_core.backbones.video import read_frames, spread
from iisan_core.errors import RefusedError

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (32, 32)
LAYERS = [0, 1, 3]


def colour(n: int) -> tuple[int, int, int]:
    return 20 * n % 256, 90, 255 - 20 * n % 256


def folder_of_frames(folder: Path, count: int) -> Path:
    folder.mkdir()
    for n in range(count):
        Image.new("RGB", SIZE, colour(n)).save(folder / f"{n:03}.png")
    return folder


def video_file(path: Path, count: int) -> Path:
    """Frames of one colour each; key frames are rare, so that others have to be decoded from them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.gop_size, stream.bit_rate = 6, 10**7
        for n in range(count):
            frame = av.VideoFrame.from_image(Image.new("RGB", SIZE, colour(n)))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def video(vit_folder: Path) -> Backbone:
    return load_backbone(vit_folder, "video")


def encoded(backbone: Backbone, paths: list[Path], *, frames: int, batch_size: int = 64) -> torch.Tensor:
    rows = {}
    for batch in backbone.batches(paths, batch_size=batch_size, size=frames):
        loaded = batch.load()
        assert loaded.problems == {}
        states = backbone.encode(loaded.tensors, layers=LAYERS, pooling="mean")
        rows |= dict(zip(loaded.positions, states, strict=True))
    return torch.stack([rows[position] for position in range(len(paths))])


@pytest.mark.parametrize(
    ("total", "count", "places"),
    [(8, 4, [1, 3, 5, 7]), (9, 1, [4]), (3, 8, [0, 1, 2]), (1, 3, [0]), (100, 2, [25, 75])],
)
def test_frames_are_spread_evenly(total: int, count: int, places: list[int]) -> None:
    assert spread(total, count) == places


def test_a_video_is_the_average_of_its_frames(video: Backbone, vit: Backbone, tmp_path: Path) -> None:
    folder = folder_of_frames(tmp_path / "frames", 9)
    chosen = [folder / f"{n:03}.png" for n in spread(9, 3)]
    batch = next(vit.batches(chosen, batch_size=3, size=None)).load()
    expected = vit.encode(batch.tensors, layers=LAYERS, pooling="mean").mean(dim=0)
    torch.testing.assert_close(encoded(video, [folder], frames=3)[0], expected)
    assert (video.modality, video.widths, video.n_layers) == ("video", vit.widths, vit.n_layers)


def test_a_batch_is_its_videos_one_by_one(video: Backbone, tmp_path: Path) -> None:
    paths = [folder_of_frames(tmp_path / str(count), count) for count in (1, 5, 2, 7)]  # some have too few frames
    alone = torch.cat([encoded(video, [path], frames=4) for path in paths])
    torch.testing.assert_close(encoded(video, paths, frames=4), alone)
    torch.testing.assert_close(encoded(video, paths, frames=4, batch_size=1), alone)
    torch.testing.assert_close(encoded(video, paths[::-1], frames=4), alone.flip(0))


def test_frames_of_a_file_are_those_of_their_time(tmp_path: Path) -> None:
    path = video_file(tmp_path / "video.mp4", 20)
    found = [frame.getpixel((16, 16)) for frame in read_frames(path, 5)]
    expected = [colour(n) for n in spread(20, 5)]
    # The encoder is lossy; neighbours differ by 20 in red and blue.
    assert all(
        abs(a - b) < 10 for one, other in zip(found, expected, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_what_is_no_video_is_reported_by_item(video: Backbone, tmp_path: Path) -> None:
    whole = folder_of_frames(tmp_path / "whole", 2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    torn = folder_of_frames(tmp_path / "torn", 2)
    (torn / "001.png").write_bytes(b"no picture")
    paths = [tmp_path / "empty", whole, tmp_path / "broken.mp4", tmp_path / "absent.mp4", torn]
    loaded = next(video.batches(paths, batch_size=64, size=4)).load()
    assert loaded.positions == [1]
    assert {position: problem.startswith("unreadable video: ") for position, problem in loaded.problems.items()} == {
        0: True, 2: True, 3: True, 4: True
    }  # fmt: skip
    assert "holds no frames" in loaded.problems[0] and "no such file" in loaded.problems[3]
    nothing = next(video.batches(paths[:1], batch_size=64, size=4)).load()
    assert (nothing.positions, nothing.tensors) == ([], {})


def test_files_need_pyav_and_folders_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = video_file(tmp_path / "video.mp4", 3), folder_of_frames(tmp_path / "frames", 3)
    monkeypatch.setitem(sys.modules, "av", None)
    assert len(read_frames(folder, 2)) == 2
    with pytest.raises(RefusedError, match=r'pip install "iisan-workbench\[video\]"'):
        read_frames(path, 2)


def test_a_text_model_is_no_video_backbone(bert_folder: Path) -> None:
    with pytest.raises(RefusedError, match="is no video backbone: it reads input_ids, not pixel_values"):
        load_backbone(bert_folder, "video")
