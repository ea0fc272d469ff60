"""Sources written on the spot, and importers called on them."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportOptions, ImportRequest


@pytest.fixture
def write(tmp_path) -> Callable[[str, str | bytes], Path]:
    """Write a source file below `source/`, and return its path."""

    def written(name: str, content: str | bytes) -> Path:
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


@pytest.fixture
def imported(tmp_path):
    """Import two files by kind into `out`, options by name."""

    def imported(kind: str, items: Path, interactions: Path, *, images: Path | None = None, **options):
        given = ImportOptions(**options)
        return IMPORTERS[kind](
            ImportRequest(items=items, interactions=interactions, out=tmp_path / "out", images=images, options=given)
        )

    return imported


@pytest.fixture
def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(stream, format="JPEG")
    return stream.getvalue()
