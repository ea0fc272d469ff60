"""Pictures are made small, keep what is transparent, and are absent where there is none."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from app import pictures
from app.pictures import thumbnail


def decoded(address: str | None) -> Image.Image:
    assert address is not None and address.startswith("data:image/webp;base64,")
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_the_longest_side_is_bounded_and_the_shape_kept(tmp_path: Path) -> None:
    Image.new("RGB", (900, 600)).save(tmp_path / "large.jpg")
    assert decoded(thumbnail(tmp_path / "large.jpg", side=90)).size == (90, 60)


def test_what_is_transparent_stays_so(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert decoded(thumbnail(tmp_path / "clear.png", side=8)).convert("RGBA").getextrema()[3] == (0, 0)


def test_what_is_no_picture_or_too_large_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    Image.new("RGB", (9, 9)).save(tmp_path / "good.png")
    monkeypatch.setattr(pictures, "MOST_PIXELS", 80)
    names = ("bad.png", "absent.png", "good.png")
    assert [thumbnail(tmp_path / name, side=8) for name in names] == [None] * 3
