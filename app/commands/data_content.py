"""`iisan data images`, `caption` and `update`: what a dataset lacks, fetched, written or appended."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.commands.console import JsonFlag, note, print_json, print_table, watched
from app.commands.options import Conflicts, DatasetFolder, Device
from data_tools.captions.progress import COLUMN, MAX_NEW_TOKENS, CaptionProgress, Origin
from iisan_core.errors import IisanError

if TYPE_CHECKING:
    from tqdm import tqdm

    from data_tools.web_images import FetchProgress


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
    from data_tools.downloads import DownloadLimits
    from data_tools.web_images import FAILURES, fetch_images

    limits = DownloadLimits(concurrent=concurrent, per_host=per_host)
    with closing(fetch_images(dataset, longest_side=longest_side, limits=limits)) as records:
        last = watched(records, _show_fetching, label="pictures", unit="picture")
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


def split_data(
    dataset: DatasetFolder,
    test: Annotated[Path, typer.Option(help="Interactions that test: a table of user and item ids, or also times.")],
    valid: Annotated[Path, typer.Option(help="Interactions that validate.")],
    train: Annotated[Path | None, typer.Option(help="Interactions that train; unset: all others.")] = None,
    user_id: Annotated[str, typer.Option(help="Column of the user id.")] = "user_id",
    item_id: Annotated[str, typer.Option(help="Column of the item id.")] = "item_id",
    timestamp: Annotated[str, typer.Option(help="Column of the time, if the files have it.")] = "timestamp",
    separator: Annotated[str | None, typer.Option(help="Between fields of CSV files; unset: comma.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Take a split that somebody else has made; train on it with `--set protocol.split=given`.

    Example: iisan data split workspace/datasets/mine --valid valid.csv --test test.csv
    """
    import iisan_core
    from data_tools.given_split import split_as_given
    from data_tools.importers.request import ImportOptions

    options = ImportOptions(item_id=item_id, user_id=user_id, timestamp=timestamp, separator=separator)
    files = {"valid": valid, "test": test} | ({"train": train} if train is not None else {})
    counts = split_as_given(iisan_core.Dataset.load(dataset), files, options=options)
    if as_json:
        print_json({"folder": str(dataset), **counts})
    else:
        print_table(["subset", "interactions"], list(counts.items()))


def update(
    dataset: DatasetFolder,
    interactions: Annotated[Path, typer.Option(help="The new part of the log: any table.")],
    items: Annotated[Path | None, typer.Option(help="New items, and items whose texts are others now.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder or zip of pictures of new items.")] = None,
    item_id: Annotated[str, typer.Option(help="Column of the item id, in both files.")] = "item_id",
    title: Annotated[str, typer.Option(help="Column of the catalogue: the title.")] = "title",
    text: Annotated[list[str] | None, typer.Option(help="Column of the catalogue: further text; repeatable.")] = None,
    user_id: Annotated[str, typer.Option(help="Column of the log: the user id.")] = "user_id",
    timestamp: Annotated[str, typer.Option(help="Column of the log: the time.")] = "timestamp",
    time_format: Annotated[str | None, typer.Option(help="How dates are written, such as %d/%m/%Y.")] = None,
    ids: Annotated[str | None, typer.Option(help="Repairs of ids, such as strip,integer.")] = None,
    conflicts: Annotated[
        Conflicts | None, typer.Option(help="Of texts that differ from before: refuse, first (old) or last (new).")
    ] = None,
    separator: Annotated[str | None, typer.Option(help="Between fields of CSV files; unset: comma.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Append a day's log, and new items, to a dataset folder; checked like an import.

    Example: iisan data update workspace/datasets/mine --interactions today.csv --items new.csv
    """
    import iisan_core
    from data_tools.importers.request import ImportOptions
    from data_tools.updating import update_dataset

    options = ImportOptions(
        item_id=item_id,
        title=title,
        text=tuple(text or ()),
        user_id=user_id,
        timestamp=timestamp,
        time_format=time_format,
        ids=ids,
        conflicts=conflicts,
        separator=separator,
    )
    done = update_dataset(iisan_core.Dataset.load(dataset), interactions, items=items, images=images, options=options)
    facts = {name: value for name, value in vars(done).items() if name != "dataset"}
    if as_json:
        print_json({"folder": str(dataset), **facts})
        return
    print_table(["update", "count"], [(name.replace("_", " "), value) for name, value in facts.items()])
    if done.new_items or done.changed_items:
        note("caches lack these items: `iisan extract` adds them and leaves the others alone")


def caption(
    dataset: DatasetFolder,
    model: Annotated[str, typer.Option(help="Model that writes about pictures: hub id or folder.")],
    field: Annotated[str, typer.Option(help="Text column to write.")] = COLUMN,
    prompt: Annotated[str, typer.Option(help="What a chat model is asked, or how another begins.")] = "",
    origin: Annotated[Origin, typer.Option("--from", help="The item's picture, or frames of its video.")] = "image",
    frames: Annotated[int, typer.Option(min=1, help="Frames taken from a video.")] = 4,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longer texts are cut.")] = MAX_NEW_TOKENS,
    batch_size: Annotated[int, typer.Option(min=1, help="Items at once through the model.")] = 16,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace captions made with other settings.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write texts from pictures with any image-to-text or chat model; run again to go on.

    Example: iisan data caption workspace/datasets/mine --model Salesforce/blip-image-captioning-base
    """
    from data_tools.captions.caption import caption_items, files_to_caption
    from data_tools.captions.captioner import load_captioner
    from iisan_core.training.device import choose_device

    files_to_caption(dataset, column=field, origin=origin)  # refused before a model of gigabytes is fetched
    captioner = load_captioner(model, prompt=prompt, max_new_tokens=max_new_tokens, device=choose_device(device))
    records = caption_items(
        dataset, captioner, column=field, origin=origin, frames=frames, batch_size=batch_size, overwrite=overwrite
    )
    with closing(records):
        last = watched(records, _show_captions, label="captions", unit="item")
    facts = {"items": last.total, "found": last.found, "written": last.written, "failed": len(last.failures)}
    if as_json:
        print_json({"field": field, **facts, "failures": dict(last.failures)})
    else:
        print_table(["captions", "count"], facts.items())
    for item_id, fault in list(last.failures.items())[:3]:
        note(f"no caption for {item_id}: {fault}")
    if last.failures and not last.written and not last.found:
        raise IisanError(f"none of {len(last.failures):,} items could be described; see the notes above")
    note(f"encode them with `iisan extract {dataset} --text … --text-field {field}`")


def _show_captions(bar: tqdm[Any], record: CaptionProgress) -> None:
    bar.total = record.total
    bar.update(record.found + record.written + len(record.failures) - bar.n)


def _show_fetching(bar: tqdm[Any], record: FetchProgress) -> None:
    bar.total = record.total
    bar.set_postfix_str(f"{record.failed} failed", refresh=False)
    bar.update(record.found + record.fetched + record.failed - bar.n)
