"""Files for an import: uploads are looked at, lie on the shelf while they are read, and leave nothing behind."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.ui.uploads import Sources, as_files
from iisan_core.errors import RefusedError


@dataclass
class Upload:
    """As much of an uploaded file as is looked at."""

    name: str
    content: bytes

    def __post_init__(self) -> None:
        self._stream = io.BytesIO(self.content)
        self.read, self.seek = self._stream.read, self._stream.seek


@pytest.mark.parametrize(
    ("name", "content"),
    [("items.zip", b"not a zip"), ("items.csv", b"PK\x03\x04"), ("a.tsv", b"\x00\x01\x02\x03"), ("b.parquet", b"id,x")],
)
def test_an_upload_of_another_kind_than_its_name_says_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    sources = Sources(Upload(name, content), Upload("log.csv", b"u,i"), None)  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match=name), as_files(sources, tmp_path):
        pass
    assert list(tmp_path.iterdir()) == [], "nothing stays behind"


def test_uploads_are_files_for_as_long_as_they_are_read(tmp_path: Path) -> None:
    sources = Sources(Upload("../items.csv", b"a,b"), Upload("log.csv", b"u,i"), None)  # type: ignore[arg-type]
    with as_files(sources, tmp_path) as (items, log, images):
        assert items.read_bytes() == b"a,b"
        assert items.is_relative_to(tmp_path)
        assert images is None
    assert not log.exists()
