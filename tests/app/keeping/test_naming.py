"""Runs and datasets under other names: every record that named them goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.keeping import dependents, naming
from app.keeping.naming import copy_dataset, rename_dataset, rename_run
from iisan_core.cache.manifest import read_manifest
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.files import read_json
from iisan_core.runs.job_folder import JobCard, JobFolder
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import Workspace

from .conftest import MakeRun


def test_a_run_is_renamed_with_those_that_read_it(shop: Workspace, make_run: MakeRun) -> None:
    first, second = make_run("first"), make_run("second")
    members = [first.path, second.path]
    blend = make_run("blend", caches={}, members=members)
    started = make_run("started", start_from=first.path)
    assert [(d.name, d.how) for d in dependents.of_run(shop, first.path)] == [
        ("blend", "blends it"),
        ("started", "started from its weights"),
    ]
    after = rename_run(shop, first, "better")
    assert after.path.name == "better" and after.status().state == "finished"
    assert not first.path.exists() and not first.path.is_symlink()
    assert [path.name for path in blend.config().members] == ["better", "second"]
    assert started.config().start_from == after.path.resolve()


@pytest.mark.parametrize("name", ["", "two words", "../out", ".hidden", "first"])
def test_names_that_a_run_cannot_have(shop: Workspace, make_run: MakeRun, name: str) -> None:
    run = make_run("first")
    with pytest.raises(RefusedError):
        rename_run(shop, run, name)
    assert run.status().state == "finished"


def test_a_run_at_work_keeps_its_name(shop: Workspace, make_run: MakeRun) -> None:
    run = make_run("first")
    run.write_status("running")
    with pytest.raises(RefusedError, match=r"run first is running, as process \d+; stop it first"):
        rename_run(shop, run, "other")


def test_a_dataset_is_renamed_with_its_caches_and_runs(shop: Workspace, make_run: MakeRun) -> None:
    run = make_run("first")
    study = make_run("study/one-seed0")
    after = rename_dataset(shop, shop.datasets / "shop", "my shop")
    dataset = Dataset.load(after)
    assert (after.name, dataset.name) == ("my shop", "my shop")
    assert sorted(path.name for path in shop.datasets.iterdir()) == ["my shop"]
    shelf = shop.root / "caches" / "my shop"
    assert sorted(shop.complete_caches(dataset)) == [shelf / "image-one", shelf / "text-one"]
    assert Path(read_manifest(shelf / "text-one").dataset_folder or "") == after.resolve()
    assert read_manifest(shelf / "text-one").dataset == "my shop"
    for each in (run, study):
        assert each.usable_config().dataset == after.resolve()
        assert each.usable_config().caches["text"] == (shelf / "text-one").resolve()
        assert each.results()["data"]["dataset"] == "my shop"
    assert "my shop" in (run.path / "config.yaml").read_text()


def test_what_breaks_off_in_the_midst_leaves_all_readable(
    shop: Workspace, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("first")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(naming, "_mend", fail)
    with pytest.raises(KeyboardInterrupt):
        rename_dataset(shop, shop.datasets / "shop", "other")
    assert run.usable_config().dataset.is_dir()
    assert Dataset.load(run.usable_config().dataset).items.height == 2


def test_a_dataset_that_is_worked_with_keeps_its_name(shop: Workspace, make_run: MakeRun) -> None:
    folder = shop.datasets / "shop"
    card = JobCard(argv=("extract", str(folder)), device="cpu", workspace=shop.root, folder=Path.cwd())
    job = JobFolder.create_job(shop.jobs / "extract-1", card=card)
    job.write_status("running")
    with pytest.raises(RefusedError, match="job extract-1 works with shop"):
        rename_dataset(shop, folder, "other")
    job.write_status("finished")
    make_run("first").write_status("queued")
    with pytest.raises(RefusedError, match="run first is queued"):
        rename_dataset(shop, folder, "other")


def test_a_copy_has_its_own_name_and_files(shop: Workspace) -> None:
    (shop.datasets / "shop" / "images").mkdir(exist_ok=True)
    (shop.datasets / "shop" / "images" / "b.png").write_bytes(b"a picture")
    after = copy_dataset(shop, shop.datasets / "shop", "copy")
    assert Dataset.load(after).name == "copy"
    assert (after / "images" / "b.png").read_bytes() == b"a picture"
    assert read_json(shop.datasets / "shop" / "dataset.json", what="card")["name"] == "shop"
    assert shop.complete_caches(Dataset.load(after)) == {}
    with pytest.raises(RefusedError, match="already"):
        copy_dataset(shop, shop.datasets / "shop", "copy")


def test_a_cache_is_named_by_the_runs_that_read_it(shop: Workspace, make_run: MakeRun) -> None:
    make_run("first")
    (reader,) = dependents.of_cache(shop, shop.root / "caches" / "shop" / "text-one")
    assert (reader.kind, reader.name, RunFolder(reader.path).name) == ("run", "first", "first")
