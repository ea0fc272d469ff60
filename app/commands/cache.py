"""`iisan cache …`: which hidden-state caches there are, whether they are whole, and which can go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import iisan_core
from app.commands.console import JsonFlag, note, print_json, print_table, shortened
from app.commands.options import DatasetFolder

if TYPE_CHECKING:
    from iisan_core.cache.manifest import CacheFacts

cache = typer.Typer(no_args_is_help=True, help="List, verify and clear away hidden-state caches.")


@cache.command("list")
def list_caches(
    dataset: Annotated[Path | None, typer.Argument(help="A dataset folder; unset: the caches of all datasets.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Which caches the workspace holds, and what they take.

    Example: iisan cache list workspace/datasets/mine
    """
    from iisan_core.cache.inventory import caches_in

    workspace = iisan_core.Workspace.default()
    place = workspace.caches(iisan_core.Dataset.load(dataset)) if dataset else workspace.root / "caches"
    folders = [place] if dataset else sorted(place.glob("*"))
    facts = [_facts(found) for folder in folders for found in caches_in(folder)]
    if as_json:
        print_json(facts)
    elif facts:
        columns = ("cache", "state", "backbone", "layers", "rows", "bytes")
        print_table(columns, [[shortened(Path(str(f["cache"]))), *(f[c] for c in columns[1:])] for f in facts])
    else:
        note(f"no caches under {place}; make one with `iisan extract`")


@cache.command("verify")
def verify(
    folder: Annotated[Path, typer.Argument(metavar="CACHE", help="A cache folder.")], as_json: JsonFlag = False
) -> None:
    """Read a cache whole and compare it with its checksums.

    Example: iisan cache verify workspace/caches/mine/text-all-minilm-l6-v2-0123456789ab
    """
    opened = iisan_core.HiddenStateCache.open(folder)
    opened.verify()
    rows, parts, unreadable = opened.manifest.items, len(opened.manifest.shards), len(opened.problems)
    if as_json:
        print_json({"cache": str(folder), "whole": True, "rows": rows, "parts": parts, "unreadable": unreadable})
    note(f"{shortened(folder)} is whole: {rows:,} rows, {parts:,} parts, {unreadable:,} unreadable inputs")


@cache.command("gc")
def collect_garbage(
    dataset: DatasetFolder,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only listed.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Clear away unfinished, damaged and outdated caches of a dataset, and what killed imports left beside it.

    Example: iisan cache gc workspace/datasets/mine --yes
    """
    from iisan_core.cache.inventory import removable, remove
    from iisan_core.files import clear_unfinished, unfinished

    source = iisan_core.Dataset.load(dataset)
    found = removable(iisan_core.Workspace.default().caches(source), source)
    left = unfinished(source.folder.resolve().parent)
    if yes:
        clear_unfinished(source.folder.resolve().parent)
        for entry in found:
            remove(entry.cache.folder)
    if as_json:
        print_json([_facts(entry.cache) | {"reason": entry.reason, "removed": yes} for entry in found])
    elif found:
        listed = [(shortened(e.cache.folder), e.cache.disk_bytes, e.reason) for e in found]
        print_table(("cache", "bytes", "reason"), listed)
    if left:
        note(f"{len(left)} unfinished folders beside the dataset {'removed' if yes else 'can go (remove with --yes)'}")
    total = sum(entry.cache.disk_bytes for entry in found)
    said = "removed" if yes else "can go (remove with --yes)"
    note(f"{len(found)} of the dataset's caches {said}: {total:,} bytes" if found else "no cache can go")


def _facts(found: CacheFacts) -> dict[str, object]:
    manifest = found.manifest
    return {
        "cache": str(found.folder),
        "state": found.state,
        "dataset": manifest and manifest.dataset,
        "modality": manifest and manifest.modality,
        "backbone": manifest and manifest.backbone,
        "layers": manifest and len(manifest.layers),
        "rows": manifest and manifest.items,
        "bytes": found.disk_bytes,
        "problem": found.problem,
    }
