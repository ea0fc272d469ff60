"""Files from elsewhere: nothing in them is executed, no link or path leads out of them, sizes are not believed."""

import os
import pickle
import shutil
from collections import deque
from pathlib import Path

import pytest

from iisan_core.backbones.loading import load_backbone
from iisan_core.data.dataset import Dataset
from iisan_core.errors import IisanError, RefusedError
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import resume
from iisan_core.serving.recommender import Recommender

pytestmark = pytest.mark.usefixtures("one_thread")


class Payload:
    """Unpickled, it leaves a file behind."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "executed"


@pytest.fixture
def payload(marker):
    packed = pickle.dumps(Payload(marker), protocol=2)
    pickle.loads(packed)
    assert marker.is_dir(), "the payload does work"
    marker.rmdir()
    return packed


@pytest.fixture
def copy(content_run, tmp_path):
    """A run with its dataset and caches, all in one folder and free to be spoilt."""
    run = RunFolder(shutil.copytree(content_run, tmp_path / "run"))
    config = run.config()
    shutil.copytree(config.dataset, tmp_path / "dataset")
    text = (run.path / "config.yaml").read_text().replace(str(config.dataset), str(tmp_path / "dataset"))
    for name, cache in config.caches.items():
        shutil.copytree(cache, tmp_path / name)
        text = text.replace(str(cache), str(tmp_path / name))
    (run.path / "config.yaml").write_text(text)
    return tmp_path


def use(folder):
    """Everything that reads a file."""
    recommender = Recommender.load(folder / "run")
    recommender.explain("i01", user="u00")
    deque(resume(RunFolder.open(folder / "run")), maxlen=0)


FILES = [
    "run/best/model.safetensors",
    "run/items.safetensors",
    "run/parts.safetensors",
    "run/checkpoint/state.safetensors",
    "run/best/config.json",
    "run/config.yaml",
    "dataset/dataset.json",
    "dataset/items.parquet",
    "dataset/interactions.parquet",
    "image/manifest.json",
    "image/item_ids.parquet",
    "text/states.bin",
]


@pytest.mark.usefixtures("by_hand")
def test_the_copy_works_before_it_is_spoilt(copy):
    use(copy)


@pytest.mark.parametrize("file", FILES)
def test_a_pickle_in_place_of_a_file_is_refused_and_not_executed(copy, file, payload, marker):
    assert (copy / file).is_file()
    (copy / file).write_bytes(payload)
    with pytest.raises(RefusedError):
        use(copy)
    assert not marker.exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir", "!!python/object/new:os.mkdir"])
def test_a_configuration_that_names_code_is_refused_and_not_executed(copy, tag, marker):
    (copy / "run" / "config.yaml").write_text(f"dataset: {tag} ['{marker}']\n")
    with pytest.raises(RefusedError, match=r"config.yaml is not valid YAML: could not determine a constructor"):
        use(copy)
    assert not marker.exists()


@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_backbone_of_pickled_weights_is_refused_and_not_executed(modality, tiny_backbones, payload, marker, tmp_path):
    folder = shutil.copytree(tiny_backbones[modality], tmp_path / "backbone")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(payload)
    with pytest.raises(IisanError, match="cannot be loaded"):
        load_backbone(folder, modality)
    assert not marker.exists()


def test_a_backbone_with_code_of_its_own_is_not_executed(tiny_backbones, marker, tmp_path):
    folder = shutil.copytree(tiny_backbones["text"], tmp_path / "backbone")
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(
        config.replace('"model_type": "bert"', '"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}')
    )
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(marker)!r})\n")
    with pytest.raises(IisanError, match="cannot be loaded"):
        load_backbone(folder, "text")
    assert not marker.exists()


@pytest.mark.parametrize("inside", ["best", "checkpoint", "best/model.safetensors", "items.safetensors"])
def test_a_run_whose_links_lead_out_of_it_is_refused(copy, inside):
    path = copy / "run" / inside
    shutil.move(path, copy / "elsewhere")
    path.symlink_to(copy / "elsewhere")
    with pytest.raises(RefusedError, match=rf"{inside} is a link to .*elsewhere, outside of .*run; put what it leads"):
        Recommender.load(copy / "run")


@pytest.mark.usefixtures("by_hand")
def test_links_within_a_run_and_links_to_a_run_are_fine(copy):
    (copy / "run" / "best.safetensors").symlink_to("best/model.safetensors")
    (copy / "link").symlink_to(copy / "run")
    assert Recommender.load(copy / "link").recommend(users=["u00"])


@pytest.mark.parametrize("path", ["../dataset", "{}/x/../dataset"])
def test_a_run_whose_paths_wander_is_refused(copy, path):
    config = copy / "run" / "config.yaml"
    wandering = path.format(copy)
    config.write_text(config.read_text().replace(str(copy / "dataset"), wandering))
    with pytest.raises(RefusedError, match=r"names .*; paths are absolute there, or relative .*, and without `\.\.`"):
        Recommender.load(copy / "run")


@pytest.mark.usefixtures("by_hand")
def test_a_runs_relative_path_is_looked_for_in_its_workspace_and_nowhere_else(copy, monkeypatch):
    """Neither beside the run nor in the current folder."""
    config = copy / "run" / "config.yaml"
    config.write_text(config.read_text().replace(str(copy / "dataset"), "dataset"))
    monkeypatch.chdir(copy)
    monkeypatch.setenv("IISAN_WORKSPACE", str(copy / "workspace"))
    with pytest.raises(RefusedError, match=r"names dataset, and nothing is at .*/workspace/dataset; bring it back"):
        Recommender.load(copy / "run")


@pytest.mark.parametrize("image", ["../secret.png", "/etc/passwd", "images/../../secret.png"])
@pytest.mark.usefixtures("by_hand")
def test_a_catalogue_whose_pictures_lie_elsewhere_is_refused(copy, image):
    items = Dataset.load(copy / "dataset").items
    items[0, "image"] = image
    items.write_parquet(copy / "dataset" / "items.parquet")
    with pytest.raises(RefusedError, match="leaves the dataset folder"):
        Recommender.load(copy / "run")


@pytest.mark.parametrize(
    ("number", "huge"),
    [('"items": 45', '"items": 4500000000000000'), ('"part_size": 1024', '"part_size": 0'), ("16", "1" + "6" * 20)],
)
def test_a_manifest_with_made_up_dimensions_is_refused(copy, number, huge):
    manifest = copy / "text" / "manifest.json"
    text = manifest.read_text()
    assert number in text
    manifest.write_text(text.replace(number, huge))
    with pytest.raises(RefusedError):
        use(copy)


@pytest.mark.usefixtures("by_hand")
def test_vectors_whose_header_promises_more_than_there_is_are_refused(copy):
    path = copy / "run" / "items.safetensors"
    content = path.read_bytes()
    assert b"[46,8]" in content
    path.write_bytes(content.replace(b"[46,8]", b"[99,8]"))
    with pytest.raises(RefusedError, match="holds no item vectors"):
        use(copy)
