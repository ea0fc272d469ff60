"""What several tests of studies need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from iisan_core.cache.manifest import read_manifest
from iisan_core.files import write_json


@pytest.fixture
def manifest_only(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder with the manifest of a cache, changed; enough to plan a study with."""

    def make(name: str, cache: Path, **changes: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        manifest = read_manifest(cache).model_copy(update=changes)
        write_json(folder / "manifest.json", manifest.model_dump(mode="json"))
        return folder

    return make
