"""Other names and copies of runs and datasets; every record of the workspace that names them is mended.

While records are mended, the old name is a link to the new one, so that a crash in between leaves nothing that cannot
be read.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.jobs.listing import Listed, jobs_in
from app.keeping.dependents import Dependent, of_dataset, of_run
from app.names import fault_of_run_name, new_place
from iisan_core.cache.manifest import CacheManifest, write_manifest
from iisan_core.config.schema import RunConfig, save_config
from iisan_core.data.dataset import Dataset, DatasetCard
from iisan_core.errors import RefusedError
from iisan_core.files import new_folder, write_json
from iisan_core.runs.run_folder import CONFIG, RunFolder
from iisan_core.runs.worker import only_worker
from iisan_core.runs.workspace import Workspace

CARD = "dataset.json"


def rename_run(workspace: Workspace, run: RunFolder, name: str) -> RunFolder:
    """Give a run another name; raises `RefusedError` while it is at work, or for a name that it cannot have."""
    name = name.strip()
    if fault := fault_of_run_name(workspace.runs, name):
        raise RefusedError(f"the run cannot be called {name!r}: {fault}")
    refuse_at_work(run)
    readers, before, after = of_run(workspace, run.path), run.path.resolve(), run.path.with_name(name)
    with only_worker(run), _moved(run.path, after):
        for reader in readers:
            config = reader.record
            assert isinstance(config, RunConfig), "only runs read runs"
            members = [after.resolve() if path.resolve() == before else path for path in config.members]
            started = config.start_from
            started = after.resolve() if started is not None and started.resolve() == before else started
            save_config(config.model_copy(update={"members": members, "start_from": started}), reader.path / CONFIG)
    return RunFolder(after)


def rename_dataset(workspace: Workspace, folder: Path, name: str) -> Path:
    """Give a dataset another name, with its caches and in the runs that were trained on it; returns its new folder.

    Raises `RefusedError` while something works with it, or for a name that it cannot have.
    """
    after = new_place(workspace.datasets, name, what="dataset")
    readers, shelf = of_dataset(workspace, folder), workspace.caches(Dataset.load(folder))
    refuse_busy(workspace, folder, readers)
    with _moved(folder, after):
        _write_name(after, after.name)
        moved_shelf = workspace.caches(Dataset.load(after))
        if shelf.is_dir() and not moved_shelf.exists():
            with _moved(shelf, moved_shelf):
                _mend(readers, folder, after, shelf, moved_shelf)
        else:
            _mend(readers, folder, after, shelf, shelf)
    return after


def _mend(readers: list[Dependent], folder: Path, after: Path, shelf: Path, moved_shelf: Path) -> None:
    """Name the new places in every record that named the old ones."""
    home = moved_shelf.parent.resolve()
    old, new = home / shelf.name, home / moved_shelf.name
    for reader in readers:
        if isinstance(reader.record, CacheManifest):
            place = new / reader.path.name if reader.path.parent.name == shelf.name else reader.path
            changes = {"dataset": after.name, "dataset_folder": str(after.resolve())}
            write_manifest(reader.record.model_copy(update=changes), place)
        else:
            caches = {
                modality: new / path.name if path.parent in (old, shelf, shelf.absolute()) else path
                for modality, path in reader.record.caches.items()
            }
            config = reader.record.model_copy(update={"dataset": after.resolve(), "caches": caches})
            save_config(config, reader.path / CONFIG)
            _rename_in_results(RunFolder(reader.path), folder.name, after.name)


def _rename_in_results(run: RunFolder, before: str, after: str) -> None:
    """Tables put runs together by their dataset's name."""
    with suppress(RefusedError, KeyError, TypeError):
        results = run.results()
        if results["data"]["dataset"] == before:
            run.write_results(results | {"data": results["data"] | {"dataset": after}})


def copy_dataset(workspace: Workspace, folder: Path, name: str) -> Path:
    """A copy under another name, to be changed without touching the first; caches and runs stay with the first.

    Raises `RefusedError` for a name that it cannot have.
    """
    after = new_place(workspace.datasets, name, what="dataset")
    Dataset.load(folder)
    with new_folder(after) as made:
        shutil.copytree(folder, made, dirs_exist_ok=True, symlinks=True)
        _write_name(made, after.name)
    return after


def _write_name(folder: Path, name: str) -> None:
    card = Dataset.load(folder).card.model_copy(update={"name": name})
    write_json(folder / CARD, DatasetCard.model_validate(card.model_dump()).model_dump())


def refuse_at_work(run: RunFolder) -> None:
    """Raise `RefusedError` while a process trains a run, or waits to."""
    with suppress(FileNotFoundError):
        status = run.status()
        if status.active:
            raise RefusedError(f"run {run.name} is {status.state}, as process {status.pid}; stop it first")


def refuse_busy(workspace: Workspace, folder: Path, readers: list[Dependent]) -> None:
    """Raise `RefusedError` while a run that reads a dataset, or a job that names it, is at work."""
    for reader in readers:
        if isinstance(reader.record, RunConfig):
            refuse_at_work(RunFolder(reader.path))
    for job in jobs_in(workspace):
        if job.active and not job.is_run and _names(job, folder):
            raise RefusedError(f"job {job.folder.name} works with {folder.name}; stop it first")


def _names(job: Listed, folder: Path) -> bool:
    with suppress(RefusedError, OSError):
        card = job.folder.card()
        return any((card.folder / argument).resolve() == folder.resolve() for argument in card.argv)
    return True  # nobody can say


@contextmanager
def _moved(before: Path, after: Path) -> Iterator[None]:
    """Move a folder; until the block ends, its old name leads to the new place."""
    before.rename(after)
    with suppress(OSError):  # where links cannot be made, only a crash in the block would be felt
        before.symlink_to(after.name, target_is_directory=True)
    yield
    if before.is_symlink():
        before.unlink()
