import shutil
from pathlib import Path

import pytest

from iisan_core.errors import RefusedError
from iisan_core.files import read_json, write_json
from iisan_core.runs.workspace import Workspace, in_fusion_order


@pytest.fixture
def workspace(world, tmp_path):
    """One with the tiny world's two caches."""
    made = Workspace(tmp_path)
    for name in ("text", "image"):
        shutil.copytree(world.caches[name], made.caches(world.dataset) / f"{name}-a")
    return made


def test_the_root_is_the_variable_or_a_folder_here(monkeypatch):
    monkeypatch.delenv("IISAN_WORKSPACE", raising=False)
    assert Workspace.default().root == Path("workspace")
    monkeypatch.setenv("IISAN_WORKSPACE", "/some/where")
    shelves = Workspace.default()
    assert {p.parent for p in (shelves.datasets, shelves.backbones, shelves.runs)} == {Path("/some/where")}


def test_the_only_caches_come_in_fusion_order(workspace, world):
    found = workspace.only_caches(world.dataset)
    assert [(name, path.name) for name, path in found.items()] == [("image", "image-a"), ("text", "text-a")]


def test_caches_of_some_modalities_alone(workspace, world):
    shutil.copytree(world.caches["text"], workspace.caches(world.dataset) / "text-b")
    assert list(workspace.only_caches(world.dataset, modalities=["image"])) == ["image"]
    assert workspace.only_caches(world.dataset, modalities=[]) == {}


def test_unfinished_caches_do_not_count(workspace, world):
    path = workspace.caches(world.dataset) / "image-a" / "manifest.json"
    write_json(path, read_json(path, what="manifest") | {"complete": False})
    assert list(workspace.only_caches(world.dataset)) == ["text"]


def test_several_caches_of_a_modality_have_to_be_chosen_from(workspace, world):
    caches = workspace.caches(world.dataset)
    shutil.copytree(caches / "text-a", caches / "text-b")
    with pytest.raises(RefusedError, match=r"several text caches: .*text-a and .*text-b; choose with --cache"):
        workspace.only_caches(world.dataset)


def test_no_cache_is_refused(world, tmp_path):
    with pytest.raises(RefusedError, match=r"no cache of tiny world under .*; make one with `iisan extract`"):
        Workspace(tmp_path).only_caches(world.dataset)
    with pytest.raises(RefusedError, match=r"no image cache of tiny world"):
        Workspace(tmp_path).only_caches(world.dataset, modalities=["image"])


def test_image_comes_before_text_and_others_after():
    paths = {name: Path(name) for name in ("sound", "text", "image", "video")}
    assert list(in_fusion_order(paths)) == ["image", "text", "sound", "video"]
