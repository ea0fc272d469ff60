"""Where records say that things lie, so that a workspace can be moved, copied and mounted elsewhere.

One rule for a run's configuration, a cache's manifest, a job's card and a study's figures, each a *record*:

- What lies in the record's workspace is written relative to the workspace; everything else is written absolute.
- A record's workspace is the nearest folder above it that holds two of the five shelves. A record that lies in none,
  such as one of a run folder that was copied away alone, means the default workspace.
- An absolute place is taken as it stands. Where it is gone, as after older records' workspace was moved, what lies
  under the same shelf and name in this workspace is meant.
- A path with `..` is refused: no record leads out of its workspace unseen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iisan_core.errors import RefusedError

VARIABLE = "IISAN_WORKSPACE"

SHELVES = ("datasets", "backbones", "caches", "runs", "jobs")
"""What a workspace holds; by two of them it is known as one."""

PLACES = ("dataset", "start_from")
"""Fields of a run's configuration that are places, beside its caches."""

HERE = "./"
"""How the name of a backbone begins that is a folder of the workspace: a hub's names have slashes, too."""


def default_root() -> Path:
    """`$IISAN_WORKSPACE`, else `workspace` in the current folder."""
    return Path(os.environ.get(VARIABLE, "workspace"))


def workspace_of(record: Path) -> Path | None:
    """The workspace that a file lies in; None where it lies in none."""
    return next(_workspaces_of(record), None)


def _workspaces_of(record: Path) -> Iterator[Path]:
    """Nearest first: a workspace may lie in a folder that looks like one."""
    for folder in record.resolve().parents:
        if sum((folder / shelf).is_dir() for shelf in SHELVES) > 1:
            yield folder


def written(place: Path, *, record: Path) -> str:
    """How `record` names an absolute place; a relative one stays as it is."""
    root = workspace_of(record)
    if place.is_absolute() and root is not None and (place := place.resolve()).is_relative_to(root):
        return place.relative_to(root).as_posix()
    return str(place)


def read(place: Path, *, record: Path) -> Path:
    """The absolute place that `record` names, there or not; raises `RefusedError` for a path with `..`."""
    if ".." in place.parts:
        raise RefusedError(
            f"{record} names {place}; paths are absolute there, or relative to its workspace, and without `..`"
        )
    roots = [*_workspaces_of(record)] or [default_root().resolve()]
    if not place.is_absolute():
        return next((root / place for root in roots if (root / place).exists()), roots[0] / place)
    return place if place.exists() else counterpart(place, root=roots[0]) or place


def counterpart(place: Path, *, root: Path) -> Path | None:
    """What lies under the same shelf and name in the workspace `root`; None where nothing does."""
    parts = place.parts
    tails = [parts[n:] for n, part in enumerate(parts[:-1]) if part in SHELVES]
    return next((root.joinpath(*tail) for tail in tails if root.joinpath(*tail).exists()), None)


def require(place: Path, *, named: str, record: Path, remedy: str) -> None:
    """Raise `RefusedError` if nothing is at `place`, which `record` calls `named`; says where it was looked for."""
    if place.exists():
        return
    root = workspace_of(record) or default_root().resolve()
    looked = dict.fromkeys([str(place), *([str(_expected(Path(named), root))] if Path(named).is_absolute() else [])])
    raise RefusedError(
        f"{record} names {named}, and nothing is at {' nor at '.join(looked)}; bring it back to one of these places, "
        f"{remedy}"
    )


def _expected(place: Path, root: Path) -> Path:
    """Where the counterpart of an absolute place would lie, by the last shelf in its path."""
    shelves = [n for n, part in enumerate(place.parts[:-1]) if part in SHELVES]
    return root.joinpath(*place.parts[shelves[-1] :]) if shelves else place


def backbone_written(name: str, *, record: Path) -> str:
    """How `record` names a backbone: a folder of the workspace by `./` and its path there, any other as it is."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return name
    place = written(folder.absolute(), record=record)
    return name if Path(place).is_absolute() else HERE + place


def backbone_read(name: str, *, record: Path) -> str:
    """The backbone that `record` names; raises `RefusedError` for a path with `..`."""
    if name.startswith(HERE):
        return str(read(Path(name), record=record))
    root = workspace_of(record)
    if root is None or Path(name).expanduser().exists():
        return name
    return str(counterpart(Path(name), root=root) or name)


def config_written(values: dict[str, Any], *, record: Path) -> dict[str, Any]:
    """The plain values of a run's configuration, places as `record` names them."""
    caches = {name: written(Path(place), record=record) for name, place in values["caches"].items()}
    named = {name: written(Path(values[name]), record=record) for name in PLACES if values.get(name)}
    members = [written(Path(place), record=record) for place in values.get("members") or []]
    return values | named | {"caches": caches} | ({"members": members} if members else {})


def config_read(values: Any, *, record: Path, strict: bool) -> Any:
    """Plain values of a configuration, places absolute.

    `strict`: it is the record of a run. Else somebody may have written it by hand, where relative paths are meant
    from the current folder: such a path is the workspace's only if something lies there and is that.
    """
    if not isinstance(values, dict):
        return values  # whoever checks them says what is wrong
    found = dict(values)
    for name in PLACES:
        if isinstance(values.get(name), str):
            found[name] = _config_place(values[name], record, strict)
    if isinstance(values.get("caches"), dict):
        caches = values["caches"].items()
        found["caches"] = {n: _config_place(p, record, strict) if isinstance(p, str) else p for n, p in caches}
    if isinstance(values.get("members"), list):
        found["members"] = [_config_place(p, record, strict) if isinstance(p, str) else p for p in values["members"]]
    return found


def _config_place(place: str, record: Path, strict: bool) -> str:
    path = Path(place)
    if strict:
        return str(read(path, record=record))
    if ".." in path.parts:
        return place
    found = read(path, record=record)
    in_workspace = path.is_absolute() or workspace_of(record) is not None or not path.exists()
    return str(found) if in_workspace and found.exists() else place
