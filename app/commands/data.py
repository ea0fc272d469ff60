"""`iisan data …`: from the world to a dataset folder, and what is in one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import iisan_core
from app.commands.console import JsonFlag, note, print_json, print_table
from app.commands.data_content import caption, images_of_data, split_data, update
from app.commands.data_vectors import vectors_of_data
from app.commands.options import KINDS, Conflicts, DatasetFolder, Quoting
from iisan_core.errors import RefusedError

data = typer.Typer(no_args_is_help=True, help="Import, check and describe datasets; make the demo world.")

AMAZON = "amazon-2014, amazon-2018, amazon-2023"
RATED = f"movielens, {AMAZON}, yelp, goodreads, mmrec, recbole, table, huggingface"
"""Kinds whose logs have ratings."""
SEPARATED = f"movielens, microlens, {AMAZON}, yelp, goodreads, h-and-m, mmrec, recbole, table"
"""Kinds whose files may be CSV."""
TEXTUAL = f"iisan-tsv, {SEPARATED.replace('recbole', 'mind, recbole')}"
"""Kinds whose files are text."""


def _option(kinds: str, says: str) -> Any:
    """An option of some kinds of sources."""
    return typer.Option(help=says, rich_help_panel=f"Options of {kinds}")


def _column(says: str) -> Any:
    """An option that names a column."""
    return typer.Option(help=f"Column {says}.", metavar="COLUMN", rich_help_panel="Columns of table, huggingface")


@data.command("import")
def import_data(
    kind: Annotated[str, typer.Argument(help=f"Source format: {', '.join(KINDS)}.")],
    items: Annotated[Path, typer.Option(help="The catalogue: a file; huggingface: a dataset id.")],
    interactions: Annotated[Path, typer.Option(help="The log of interactions: a file; huggingface: a dataset id.")],
    out: Annotated[Path, typer.Option(help="Dataset folder to write; must not exist yet.")],
    images: Annotated[Path | None, typer.Option(help="Folder, zip or tar of pictures.")] = None,
    videos: Annotated[Path | None, typer.Option(help="Folder of videos, named after the items' ids.")] = None,
    sounds: Annotated[Path | None, typer.Option(help="Folder of sounds, likewise.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the dataset; unset: the source folder's.")] = None,
    item_id: Annotated[str | None, _column("of the catalogue: the item id; unset: item_id")] = None,
    title: Annotated[str | None, _column("of the catalogue: the title; unset: title")] = None,
    image: Annotated[str | None, _column("of the catalogue: the picture's name below --images")] = None,
    image_url: Annotated[str | None, _column("of the catalogue: the picture's web address")] = None,
    text: Annotated[list[str] | None, _column("of the catalogue: further text; may be repeated")] = None,
    user_id: Annotated[str | None, _column("of the log: the user id; unset: user_id")] = None,
    log_item_id: Annotated[str | None, _column("of the log: the item id; unset: as in the catalogue")] = None,
    timestamp: Annotated[str | None, _column("of the log: whole numbers or dates; unset: timestamp")] = None,
    rating: Annotated[str | None, _column("of the log: the rating that --min-rating is about")] = None,
    min_rating: Annotated[float | None, _option(RATED, "Drop interactions rated lower.")] = None,
    time_format: Annotated[
        str | None, _option("table, huggingface", "How dates are written, such as %d/%m/%Y; unset: found if clear.")
    ] = None,
    ids: Annotated[
        str | None, _option(", ".join(KINDS), "Repairs of ids, such as strip,integer; also lower. Unset: none.")
    ] = None,
    conflicts: Annotated[
        Conflicts | None, _option(", ".join(KINDS), "Which of rows that contradict each other counts; unset: refuse.")
    ] = None,
    skip_without_id: Annotated[
        bool,
        typer.Option(
            "--skip-without-id",
            help="Leave rows without an id out, and count them.",
            rich_help_panel=f"Options of {', '.join(kind for kind in KINDS if kind not in ('iisan-tsv', 'mind'))}",
        ),
    ] = False,
    guess: Annotated[
        bool,
        typer.Option(
            "--guess",
            help="Guess separators, and columns by their names; what was guessed is said.",
            rich_help_panel="Options of table",
        ),
    ] = False,
    columns: Annotated[
        str | None, _option("table", "Columns of a catalogue without header, such as item_id,title,_ (not needed).")
    ] = None,
    log_columns: Annotated[str | None, _option("table", "The same for the log.")] = None,
    quoting: Annotated[
        Quoting | None, _option(SEPARATED, "What quotes of CSV and TSV do; unset: found by looking at the file.")
    ] = None,
    encoding: Annotated[
        str | None,
        _option(
            f"iisan-tsv, {SEPARATED.replace('recbole', 'mind, recbole')}",
            "Encoding, such as cp1252; unset: UTF-8, or as marked.",
        ),
    ] = None,
    separator: Annotated[
        str | None, _option("table", r"Between fields, \t is a tab; unset: comma, tab in .tsv.")
    ] = None,
    log_separator: Annotated[str | None, _option("table", "The same for the log; unset: as the catalogue's.")] = None,
    items_config: Annotated[str | None, _option("huggingface", "Configuration that holds the catalogue.")] = None,
    log_config: Annotated[str | None, _option("huggingface", "Configuration that holds the log.")] = None,
    split: Annotated[str | None, _option("huggingface", "Split to read; unset: train.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Turn raw files into a dataset folder. Options that a kind does not take are refused.

    Example: iisan data import iisan-tsv --items items.tsv --interactions users.tsv --out workspace/datasets/mine
    """
    from data_tools.importers import IMPORTERS
    from data_tools.importers.request import ImportOptions, ImportRequest

    if kind not in IMPORTERS:
        raise RefusedError(f"no importer {kind!r}; there are {', '.join(IMPORTERS)}")
    options = ImportOptions(
        item_id=item_id,
        title=title,
        image=image,
        image_url=image_url,
        text=tuple(text or ()),
        user_id=user_id,
        log_item_id=log_item_id,
        timestamp=timestamp,
        rating=rating,
        min_rating=min_rating,
        separator=separator,
        log_separator=log_separator,
        items_config=items_config,
        log_config=log_config,
        split=split,
        ids=ids,
        conflicts=conflicts,
        skip_without_id=skip_without_id,
        guess=guess,
        columns=tuple(columns.split(",")) if columns else (),
        log_columns=tuple(log_columns.split(",")) if log_columns else (),
        quoting=quoting,
        encoding=encoding,
        time_format=time_format,
    )
    request = ImportRequest(
        items=items,
        interactions=interactions,
        out=out,
        images=images,
        videos=videos,
        sounds=sounds,
        name=name,
        options=options,
    )
    dataset = IMPORTERS[kind](request)
    note(f"wrote {dataset.folder}")
    show_card(dataset, as_json=as_json)


data.command("images")(images_of_data)
data.command("caption")(caption)
data.command("vectors")(vectors_of_data)
data.command("update")(update)
data.command("split")(split_data)


@data.command("demo")
def demo(
    out: Annotated[Path | None, typer.Option(help="Dataset folder to write; unset: the workspace's `demo`.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same world.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Make the demo world: a shop with drawn pictures, titles, and tastes whose truth is known.

    Example: iisan data demo --out workspace/datasets/demo
    """
    from data_tools.demo.world import make_demo_world

    dataset = make_demo_world(out or iisan_core.Workspace.default().datasets / "demo", seed=seed)
    note(f"wrote {dataset.folder}; the truth behind it is in {dataset.folder / 'truth'}")
    show_card(dataset, as_json=as_json)


@data.command("stats")
def stats(
    dataset: DatasetFolder,
    html: Annotated[Path | None, typer.Option(help="Also write a page with charts to this file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Count what a dataset holds, and what the evaluation protocol keeps of it.

    Example: iisan data stats workspace/datasets/demo --html demo.html
    """
    from data_tools.statistics import statistics

    loaded = iisan_core.Dataset.load(dataset)
    facts = statistics(loaded).as_dict()
    if html is not None:
        from app.charts.dataset import write_statistics_page

        write_statistics_page(loaded, html)
        note(f"wrote {html}")
    if as_json:
        print_json(facts)
    else:
        print_table(["fact", "value"], [(name.replace("_", " "), value) for name, value in facts.items()])


@data.command("filter")
def filter_data(
    dataset: DatasetFolder,
    out: Annotated[Path, typer.Option(help="Dataset folder to write; must not exist yet.")],
    core: Annotated[int, typer.Option(min=0, help="Keep users and items with so many interactions each.")] = 0,
    min_length: Annotated[int, typer.Option(min=0, help="Keep users with so many interactions.")] = 0,
    no_duplicates: Annotated[bool, typer.Option("--no-duplicates", help="One of each user, item and time.")] = False,
    no_repeats: Annotated[bool, typer.Option("--no-repeats", help="A user's first interaction with an item.")] = False,
    name: Annotated[str, typer.Option(help="Name of the new dataset; unset: the folder's.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Write the part of a dataset that passes; what is dropped is counted by reason.

    Example: iisan data filter workspace/datasets/mine --core 5 --out workspace/datasets/mine-5-core
    """
    from data_tools.filtering import filter_dataset

    filtered = filter_dataset(
        iisan_core.Dataset.load(dataset),
        out,
        core=core,
        min_length=min_length,
        no_duplicates=no_duplicates,
        no_repeats=no_repeats,
        name=name,
    )
    note(f"wrote {filtered.folder}")
    show_card(filtered, as_json=as_json)


@data.command("check")
def check_data(
    dataset: DatasetFolder,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read all files anew, too; exit code 1 where one is not as recorded.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Say what a user should know of a dataset before training on it.

    Example: iisan data check workspace/datasets/demo
    """
    from data_tools.checks import check, check_files

    loaded = iisan_core.Dataset.load(dataset)
    of_files = check_files(loaded) if deep else []
    findings = [*of_files, *check(loaded)]
    if as_json:
        print_json([vars(finding) for finding in findings])
    elif findings:
        rows = [(f.severity, f.what, f.count, f.remedy) for f in findings]
        print_table(["severity", "finding", "count", "remedy"], rows)
    else:
        note("nothing to report")
    if any(finding.severity == "error" for finding in of_files):
        raise typer.Exit(1)


def show_card(dataset: iisan_core.Dataset, *, as_json: bool) -> None:
    """The counts on a dataset's card, and what was dropped or is wanting."""
    card = dataset.card
    if as_json:
        print_json({"folder": str(dataset.folder), **card.model_dump()})
        return
    rows = [("kept", name, count) for name, count in card.counts.items()]
    rows += [("dropped", name, count) for name, count in card.dropped.items() if count]
    rows += [("wanting", name, count) for name, count in card.reported.items() if count]
    print_table(["", "what", "count"], [(a, b.replace("_", " "), c) for a, b, c in rows], title=card.name)
