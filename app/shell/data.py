"""`iisan data …`: from the world to a dataset folder, and what is in one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.shell.output import JsonFlag, note, print_json, print_table
from data_tools.checks import check
from data_tools.demo.world import make_demo_world
from data_tools.importers import IMPORTERS
from data_tools.statistics import statistics
from iisan_core.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.workspace import Workspace

data = typer.Typer(no_args_is_help=True, help="Import, check and describe datasets; make the demo world.")

DatasetFolder = Annotated[Path, typer.Argument(help="A dataset folder.")]


@data.command("import")
def import_data(
    kind: Annotated[str, typer.Argument(help=f"Source format: {', '.join(IMPORTERS)}.")],
    items: Annotated[Path, typer.Option(help="The catalogue.")],
    interactions: Annotated[Path, typer.Option(help="The log of interactions.")],
    out: Annotated[Path, typer.Option(help="Dataset folder to write; must not exist yet.")],
    images: Annotated[Path | None, typer.Option(help="Folder or zip of pictures.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the dataset; unset: the source folder's.")] = None,
) -> None:
    """Turn raw files into a dataset folder.

    Example: iisan data import iisan-tsv --items items.tsv --interactions users.tsv --out workspace/datasets/mine
    """
    if kind not in IMPORTERS:
        raise RefusedError(f"no importer {kind!r}; there are {', '.join(IMPORTERS)}")
    dataset = IMPORTERS[kind](items=items, interactions=interactions, out=out, images=images, name=name)
    note(f"wrote {dataset.folder}")
    show_card(dataset)


@data.command("demo")
def demo(
    out: Annotated[Path | None, typer.Option(help="Dataset folder to write; unset: the workspace's `demo`.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same world.")] = 0,
) -> None:
    """Make the demo world: a shop with drawn pictures, titles, and tastes whose truth is known.

    Example: iisan data demo --out workspace/datasets/demo
    """
    dataset = make_demo_world(out or Workspace.default().datasets / "demo", seed=seed)
    note(f"wrote {dataset.folder}; the truth behind it is in {dataset.folder / 'truth'}")
    show_card(dataset)


@data.command("stats")
def stats(dataset: DatasetFolder, as_json: JsonFlag = False) -> None:
    """Count what a dataset holds, and what the evaluation protocol keeps of it.

    Example: iisan data stats workspace/datasets/demo
    """
    facts = statistics(Dataset.load(dataset)).as_dict()
    if as_json:
        print_json(facts)
    else:
        print_table(["fact", "value"], [(name.replace("_", " "), value) for name, value in facts.items()])


@data.command("check")
def check_data(dataset: DatasetFolder, as_json: JsonFlag = False) -> None:
    """Say what a user should know of a dataset before training on it.

    Example: iisan data check workspace/datasets/demo
    """
    findings = check(Dataset.load(dataset))
    if as_json:
        print_json([vars(finding) for finding in findings])
    elif findings:
        rows = [(f.severity, f.what, f.count, f.remedy) for f in findings]
        print_table(["severity", "finding", "count", "remedy"], rows)
    else:
        note("nothing to report")


def show_card(dataset: Dataset) -> None:
    """The counts on a dataset's card, and what was dropped or is wanting."""
    card = dataset.card
    rows = [("kept", name, count) for name, count in card.counts.items()]
    rows += [("dropped", name, count) for name, count in card.dropped.items() if count]
    rows += [("wanting", name, count) for name, count in card.reported.items() if count]
    print_table(["", "what", "count"], [(a, b.replace("_", " "), c) for a, b, c in rows], title=card.name)
