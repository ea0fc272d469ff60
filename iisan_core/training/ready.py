"""A run that is trained where it is not yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from iisan_core.config import RunConfig
from iisan_core.errors import RefusedError
from iisan_core.run_folder import RunFolder
from iisan_core.training.events import Event
from iisan_core.training.run import resume, train


def what_is_left(config: RunConfig, path: Path, *, command: str = "") -> Iterator[Event]:
    """What happens while the run at `path` is trained, or trained to its end; nothing where it has finished.

    Raises `RefusedError` if there is a run of another configuration.
    """
    config = config.with_absolute_paths()
    if not path.exists():
        return train(config, path, command=command)
    run = RunFolder.open(path)
    if run.config() != config:
        raise RefusedError(
            f"{path} was trained with another configuration than is asked for now; remove that folder, or choose "
            "another one"
        )
    return iter(()) if run.status().state == "finished" else resume(run)


def trained(config: RunConfig, path: str | Path) -> RunFolder:
    """The finished run at `path`, trained now if it is not there yet; raises as `what_is_left` does."""
    for _ in what_is_left(config, Path(path)):
        pass
    return RunFolder.open(path)
