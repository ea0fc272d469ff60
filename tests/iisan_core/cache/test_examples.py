"""The examples in the docstrings of the public names run as they stand, on a tiny dataset and backbone."""

import doctest
from collections.abc import Callable
from pathlib import Path

import pytest

import iisan_core
from iisan_core.backbones.base import Backbone
from iisan_core.data.dataset import Dataset

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", ["CacheSettings", "HiddenStateCache", "extract", "load_backbone"])
def test_examples(name: str, catalogue: Callable[..., Dataset], bert: Backbone, tmp_path: Path) -> None:
    known = {each: getattr(iisan_core, each) for each in iisan_core.__all__}
    known |= {"dataset": catalogue(["red mug", "lamp", "blue scarf"]), "backbone": bert, "folder": tmp_path / "caches"}
    [example] = doctest.DocTestFinder(recurse=False).find(getattr(iisan_core, name), name, globs=known)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0
