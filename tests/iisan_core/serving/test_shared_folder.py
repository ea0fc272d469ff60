"""What is given away of a run, what is not, and what is refused of a folder from elsewhere."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import struct
from pathlib import Path

import polars as pl
import pytest
import torch
import yaml

from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.runs.run_folder import RunFolder
from iisan_core.serving.recommender import Recommender
from iisan_core.serving.shared_folder import Sharing, share, shared_run

from .conftest import items_table

pytestmark = pytest.mark.usefixtures("one_thread")
TERMS = Sharing("cc-by-nc-4.0")


@pytest.fixture(scope="module")
def shared(content_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests must not change it."""
    folder = tmp_path_factory.mktemp("shared") / "folder"
    share(RunFolder.open(content_run), folder, TERMS, name="me/colours")
    return folder


@pytest.fixture
def copy(shared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(shared, tmp_path / "copy")


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_shared_run_recommends_as_the_run_does_wherever_it_is_put(copy, content_run):
    ours, theirs = Recommender.load(content_run), Recommender.from_pretrained(copy)
    history = [ours.item_ids[3], ours.item_ids[7]]
    assert theirs.recommend(histories=[history], k=5) == ours.recommend(histories=[history], k=5)
    assert theirs.similar_items("i04", k=3) == ours.similar_items("i04", k=3)
    assert theirs.explain("i09", history=history) == ours.explain("i09", history=history)


def test_what_serves_is_there_and_nothing_of_users_or_of_this_machine(shared, content_run):
    assert files(shared) == {
        "README.md", "datasets/colours/dataset.json", "datasets/colours/items.parquet",
        "caches/image/manifest.json", "caches/text/manifest.json", "runs/run/config.yaml", "runs/run/results.json",
        "runs/run/best/config.json", "runs/run/best/model.safetensors", "runs/run/items.safetensors",
        "runs/run/item_ids.parquet", "runs/run/parts.safetensors",
    }  # fmt: skip
    here = [str(content_run.parent.parent), str(Path.home()), os.sep + "tmp"]
    for path in shared.rglob("*"):
        if path.is_file():
            assert not any(place.encode() in path.read_bytes() for place in here), path
    recommender = Recommender.from_pretrained(shared)
    assert recommender.dataset.interactions.is_empty()
    with pytest.raises(RefusedError, match=r"no user is known in .*: it came without a log; give a history"):
        recommender.history("u00")
    assert recommender.suited_users("i00", k=1) == []


def test_pictures_and_interactions_come_only_when_asked_for(content_run, tmp_path):
    run = share(RunFolder.open(content_run), tmp_path / "all", Sharing("mit", pictures=True, interactions=True))
    recommender, ours = Recommender.load(run), Recommender.load(content_run)
    assert recommender.history("u01") == ours.history("u01")
    shown = [path.read_bytes() for path in recommender.dataset.image_paths() if path]
    assert shown == [path.read_bytes() for path in ours.dataset.image_paths() if path]
    shared_run(tmp_path / "all")


def test_a_shared_run_takes_new_items_where_its_backbones_are(copy, content_world):
    for modality, backbone in content_world.backbones.items():
        manifest = copy / "caches" / modality / "manifest.json"
        told = json.loads(manifest.read_text())
        assert told["backbone"] == backbone.name and told["dataset_folder"] is None
        shutil.copytree(backbone, copy / "backbones" / backbone.name)
        manifest.write_text(json.dumps(told | {"backbone": f"./backbones/{backbone.name}"}))
    recommender = Recommender.load(copy / "runs" / "run")
    new = items_table(["red"], ["mug"], ["N1"])
    pictures = {"N1": recommender_picture(content_world.dataset)}
    larger = recommender.add_items(new, images=pictures)
    assert len(larger.similar_items("N1", k=3)) == 3


def recommender_picture(dataset: Dataset) -> Path:
    return next(path for path in dataset.image_paths() if path)


def test_the_card_says_what_was_asked_of_it(shared, content_run):
    card = (shared / "README.md").read_text()
    _, head, body = card.split("---\n", 2)
    told = yaml.safe_load(head)
    assert (told["license"], told["library_name"]) == ("cc-by-nc-4.0", "iisan-workbench")
    metrics = {m["type"]: m["value"] for m in told["model-index"][0]["results"][0]["metrics"]}
    quality = RunFolder.open(content_run).results()["quality"]["test"]
    assert metrics["HR@10"] == pytest.approx(quality["HR@10"], abs=0.01)
    assert re.search(r"\| HR@10 \| \d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\) \|", body), "with its interval"
    for part in (
        "`colours`: 36 users, 45 items",
        "The interactions are not in this repository",
        "`tiny-bert`",
        "Protocol: leave",
        "trainable parameters",
        'Recommender.from_pretrained("me/colours")',
        "`cc-by-nc-4.0`",
    ):
        assert part in body, part


def test_the_cards_program_does_what_it_says(shared):
    card = (shared / "README.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    exec(program.replace('"me/colours"', repr(str(shared))), {})


def test_a_shared_run_can_be_shared_again(shared, tmp_path):
    run = share(RunFolder.open(shared_run(shared)), tmp_path / "again", TERMS)
    assert Recommender.load(run).item_ids == Recommender.from_pretrained(shared).item_ids
    assert "| HR@10 |" in (tmp_path / "again" / "README.md").read_text(), "without the users' ranks, as results say"


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


NO_SHARED = ("runs/run/best/model.pt", "runs/run/best/pytorch_model.bin", "setup.py", "runs/run/__init__.py",
             "datasets/colours/x.pkl", "runs/run/ranks.parquet", "runs/../../evil.json",
             "datasets/colours/images/a.png", "caches/text/states.bin")  # fmt: skip


@pytest.mark.parametrize("name", NO_SHARED)
def test_a_file_that_no_shared_run_has_is_refused_unopened(copy, tmp_path, name):
    marker = tmp_path / "executed"
    path = copy / name.replace("../", "up-")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(RefusedError, match="which no shared run has"):
        Recommender.from_pretrained(copy)
    assert not marker.exists()


OPENED = ("runs/run/items.safetensors", "runs/run/best/model.safetensors", "runs/run/parts.safetensors",
          "runs/run/item_ids.parquet", "datasets/colours/items.parquet", "runs/run/config.yaml",
          "runs/run/best/config.json", "datasets/colours/dataset.json", "caches/text/manifest.json")  # fmt: skip


@pytest.mark.parametrize("name", OPENED)
def test_a_pickle_under_another_name_is_refused_and_does_nothing(copy, tmp_path, name):
    marker = tmp_path / "executed"
    (copy / name).write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(RefusedError):
        Recommender.from_pretrained(copy).explain("i01", history=["i00"])
    assert not marker.exists()


def test_links_are_refused(copy, tmp_path):
    (tmp_path / "secret.json").write_text("{}")
    (copy / "runs/run/blend.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(RefusedError, match="is a link, or no file"):
        shared_run(copy)
    (copy / "runs/run/blend.json").unlink()
    (copy / "datasets" / "more").symlink_to(tmp_path)
    with pytest.raises(RefusedError, match="is a link, or no file"):
        shared_run(copy)


@pytest.mark.parametrize("place", ["{outside}", "../../outside", "/etc"])
@pytest.mark.parametrize("field", ["dataset", "caches", "start_from"])
def test_a_configuration_that_leads_out_is_refused(copy, tmp_path, field, place):
    (tmp_path / "outside").mkdir()
    path = copy / "runs/run/config.yaml"
    config = yaml.safe_load(path.read_text())
    named = place.format(outside=tmp_path / "outside")
    config[field] = config["caches"] | {"text": named} if field == "caches" else named
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(RefusedError, match=r"outside of|without `\.\.`"):
        shared_run(copy)


def test_a_manifest_that_names_a_place_is_refused(copy):
    path = copy / "caches/text/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"backbone": "/home/somebody/bert"}))
    with pytest.raises(RefusedError, match="a place of some machine; use its hub id"):
        shared_run(copy)


def header(tensors: dict[str, tuple[str, list[int], int]]) -> bytes:
    """A safetensors file that claims tensors and holds few bytes."""
    start, told = 0, {}
    for name, (kind, shape, size) in tensors.items():
        told[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, start + size]}
        start += size
    raw = json.dumps(told).encode()
    return struct.pack("<Q", len(raw)) + raw + b"\0" * min(start, 64)


CLAIMS = {
    "huge": header({"items": ("F32", [2**40, 2**20], 2**62)}),
    "short": header({"items": ("F32", [46, 8], 64)}),
    "endless header": struct.pack("<Q", 2**60),
    "wrong shape": header({"items": ("F32", [2, 2], 16)}),
    "other name": header({"other": ("F32", [2, 2], 16)}),
    "empty": b"",
}


@pytest.mark.parametrize("content", CLAIMS.values(), ids=CLAIMS)
@pytest.mark.parametrize("name", ["items.safetensors", "best/model.safetensors", "parts.safetensors"])
def test_tensors_that_claim_what_they_are_not_are_refused(copy, name, content):
    (copy / "runs/run" / name).write_bytes(content)
    with pytest.raises(RefusedError):
        Recommender.from_pretrained(copy).explain("i01", history=["i00"])


@pytest.mark.parametrize("change", [{"max_history": 2**40}, {"widths": {"text": [2**40, 2**40]}}])
def test_a_shape_of_huge_dimensions_is_refused_before_it_is_made(copy, change):
    path = copy / "runs/run/best/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RefusedError):
        Recommender.from_pretrained(copy)


def test_tables_that_claim_too_much_are_refused_before_they_are_unpacked(copy, monkeypatch):
    monkeypatch.setattr("iisan_core.serving.shared_folder.MOST_ROWS", 44)
    with pytest.raises(RefusedError, match="claims 45 rows; 44 are the most"):
        shared_run(copy)


def test_texts_that_are_too_long_are_refused_unread(copy, monkeypatch):
    monkeypatch.setattr("iisan_core.serving.shared_folder.MOST_TEXT", 100)
    with pytest.raises(RefusedError, match="100 are the most for a text"):
        shared_run(copy)


def test_picture_paths_that_lead_out_are_refused(copy):
    path = copy / "datasets/colours/items.parquet"
    pl.read_parquet(path).with_columns(image=pl.lit("../../../etc/passwd")).write_parquet(path)
    with pytest.raises(RefusedError, match="leaves the dataset folder"):
        Recommender.from_pretrained(copy)


def test_tensors_of_other_items_are_refused(copy):
    ids = copy / "runs/run/item_ids.parquet"
    pl.read_parquet(ids).reverse().write_parquet(ids)
    with pytest.raises(RefusedError, match="holds vectors of 45 items that are not the 45"):
        Recommender.from_pretrained(copy)


def test_nothing_is_read_of_what_is_no_number(copy):
    path = copy / "runs/run/items.safetensors"
    from safetensors.torch import load_file, save_file

    table = load_file(path)["items"]
    save_file({"items": table.to(torch.int64)}, path, {})
    with pytest.raises(RefusedError):
        Recommender.from_pretrained(copy)


@pytest.mark.parametrize("name", ["nobody", "a/b/c", "../etc/passwd", "a/..", "-a/b", "a/b--c", "http://x/y", ""])
def test_what_is_no_name_is_refused_before_anybody_is_asked(name):
    with pytest.raises(RefusedError, match=r"is no name on the hub, and no folder here|no folder|holds 0 runs"):
        Recommender.from_pretrained(name or "nowhere")
