"""`iisan data …`: from the world to a dataset folder, and what is in one."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from app.shell.output import JsonFlag, note, print_json, print_table
from data_tools.captions.progress import COLUMN, MAX_NEW_TOKENS, CaptionProgress, Origin
from data_tools.checks import check
from data_tools.demo.world import make_demo_world
from data_tools.downloads import DownloadLimits
from data_tools.filtering import filter_dataset
from data_tools.importers import IMPORTERS, TAKES
from data_tools.importers.options import ImportOptions
from data_tools.statistics import statistics
from data_tools.statistics_page import write_statistics_page
from data_tools.web_images import FAILURES, FetchProgress, fetch_images
from iisan_core.config import DeviceChoice
from iisan_core.dataset import Dataset
from iisan_core.errors import IisanError, RefusedError
from iisan_core.workspace import Workspace

data = typer.Typer(no_args_is_help=True, help="Import, check and describe datasets; make the demo world.")


def _option(field: str, says: str) -> Any:
    """An option of some kinds, which its help names."""
    kinds = ", ".join(kind for kind, takes in TAKES.items() if field in takes)
    return typer.Option(help=says, rich_help_panel=f"Options of {kinds}")


def _column(says: str) -> Any:
    """An option that names a column."""
    return typer.Option(help=f"Column {says}.", metavar="COLUMN", rich_help_panel="Columns of table, huggingface")


DatasetFolder = Annotated[Path, typer.Argument(help="A dataset folder.")]


@data.command("import")
def import_data(
    kind: Annotated[str, typer.Argument(help=f"Source format: {', '.join(IMPORTERS)}.")],
    items: Annotated[Path, typer.Option(help="The catalogue: a file; huggingface: a dataset id.")],
    interactions: Annotated[Path, typer.Option(help="The log of interactions: a file; huggingface: a dataset id.")],
    out: Annotated[Path, typer.Option(help="Dataset folder to write; must not exist yet.")],
    images: Annotated[Path | None, typer.Option(help="Folder or zip of pictures.")] = None,
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
    min_rating: Annotated[float | None, _option("min_rating", "Drop interactions rated lower.")] = None,
    separator: Annotated[str | None, _option("separator", "Between fields; unset: comma, tab in .tsv.")] = None,
    items_config: Annotated[str | None, _option("items_config", "Configuration that holds the catalogue.")] = None,
    log_config: Annotated[str | None, _option("log_config", "Configuration that holds the log.")] = None,
    split: Annotated[str | None, _option("split", "Split to read; unset: train.")] = None,
) -> None:
    """Turn raw files into a dataset folder. Options that a kind does not take are refused.

    Example: iisan data import iisan-tsv --items items.tsv --interactions users.tsv --out workspace/datasets/mine
    """
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
        items_config=items_config,
        log_config=log_config,
        split=split,
    )
    dataset = IMPORTERS[kind](
        items=items, interactions=interactions, out=out, images=images, name=name, options=options
    )
    note(f"wrote {dataset.folder}")
    show_card(dataset)


@data.command("images")
def images_of_data(
    dataset: DatasetFolder,
    longest_side: Annotated[int, typer.Option(help="Pictures are shrunk to this many pixels.")] = 224,
    concurrent: Annotated[int, typer.Option(min=1, max=64, help="Downloads at the same time.")] = 16,
    per_host: Annotated[int, typer.Option(min=1, max=16, help="Downloads at the same time from one host.")] = 4,
    as_json: JsonFlag = False,
) -> None:
    """Fetch missing pictures from the web addresses in the catalogue; run again to go on or to retry.

    Example: iisan data images workspace/datasets/amazon
    """
    limits = DownloadLimits(concurrent=concurrent, per_host=per_host)
    with closing(fetch_images(dataset, longest_side=longest_side, limits=limits)) as records:
        last = show_fetching(records)
    facts = {"wanted": last.total, "found": last.found, "fetched": last.fetched, "failed": last.failed}
    if as_json:
        print_json({**facts, "reasons": dict(last.reasons)})
    else:
        rows = [*facts.items(), *((f"failed: {reason}", count) for reason, count in last.reasons.items())]
        print_table(["pictures", "count"], rows)
    if last.failed:
        note(f"why each picture failed is in {dataset / FAILURES}")
    if last.failed and not last.fetched and not last.found:
        raise IisanError(f"none of {last.failed} pictures could be fetched; see {dataset / FAILURES}")


@data.command("caption")
def caption(
    dataset: DatasetFolder,
    model: Annotated[str, typer.Option(help="Model that writes about pictures: hub id or folder.")],
    field: Annotated[str, typer.Option(help="Text column to write.")] = COLUMN,
    prompt: Annotated[str, typer.Option(help="What a chat model is asked, or how another begins.")] = "",
    origin: Annotated[Origin, typer.Option("--from", help="The item's picture, or frames of its video.")] = "image",
    frames: Annotated[int, typer.Option(min=1, help="Frames taken from a video.")] = 4,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longer texts are cut.")] = MAX_NEW_TOKENS,
    batch_size: Annotated[int, typer.Option(min=1, help="Items at once through the model.")] = 16,
    device: Annotated[DeviceChoice, typer.Option(help="Where to compute.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace captions made with other settings.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write texts from pictures with any image-to-text or chat model; run again to go on.

    Example: iisan data caption workspace/datasets/mine --model Salesforce/blip-image-captioning-base
    """
    # These import torch and transformers, which no other verb of this group needs.
    from data_tools.captions.caption import caption_items
    from data_tools.captions.captioner import load_captioner
    from iisan_core.training.device import choose_device

    captioner = load_captioner(model, prompt=prompt, max_new_tokens=max_new_tokens, device=choose_device(device))
    records = caption_items(
        dataset, captioner, column=field, origin=origin, frames=frames, batch_size=batch_size, overwrite=overwrite
    )
    with closing(records):
        last = show_captions(records)
    facts = {"items": last.total, "found": last.found, "written": last.written, "failed": len(last.failures)}
    if as_json:
        print_json({"field": field, **facts, "failures": dict(last.failures)})
    else:
        print_table(["captions", "count"], facts.items())
    for item_id, fault in list(last.failures.items())[:3]:
        note(f"no caption for {item_id}: {fault}")
    note(f"encode them with `iisan extract {dataset} --text … --text-field {field}`")


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
def stats(
    dataset: DatasetFolder,
    html: Annotated[Path | None, typer.Option(help="Also write a page with charts to this file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Count what a dataset holds, and what the evaluation protocol keeps of it.

    Example: iisan data stats workspace/datasets/demo --html demo.html
    """
    loaded = Dataset.load(dataset)
    facts = statistics(loaded).as_dict()
    if html is not None:
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
) -> None:
    """Write the part of a dataset that passes; what is dropped is counted by reason.

    Example: iisan data filter workspace/datasets/mine --core 5 --out workspace/datasets/mine-5-core
    """
    filtered = filter_dataset(
        Dataset.load(dataset),
        out,
        core=core,
        min_length=min_length,
        no_duplicates=no_duplicates,
        no_repeats=no_repeats,
        name=name,
    )
    note(f"wrote {filtered.folder}")
    show_card(filtered)


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


def show_captions(records: Iterable[CaptionProgress]) -> CaptionProgress:
    """Show a captioning as it goes; returns its last record."""
    last: CaptionProgress | None = None
    with tqdm(desc="captions", unit="item", disable=None) as bar:
        for last in records:
            bar.total = last.total
            bar.update(last.found + last.written + len(last.failures) - bar.n)
    assert last is not None, "a captioning begins with a record"
    return last


def show_fetching(records: Iterable[FetchProgress]) -> FetchProgress:
    """Show a fetching as it goes; returns its last record."""
    last: FetchProgress | None = None
    with tqdm(desc="pictures", unit="picture", disable=None) as bar:
        for last in records:
            bar.total = last.total
            bar.set_postfix_str(f"{last.failed} failed", refresh=False)
            bar.update(last.found + last.fetched + last.failed - bar.n)
    assert last is not None, "a fetching begins with a record"
    return last
