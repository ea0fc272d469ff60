"""`iisan data images` and `iisan data caption`: what a catalogue lacks, fetched or written."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from app.shell.output import JsonFlag, note, print_json, print_table
from data_tools.captions.progress import COLUMN, MAX_NEW_TOKENS, CaptionProgress, Origin
from data_tools.downloads import DownloadLimits
from data_tools.web_images import FAILURES, FetchProgress, fetch_images
from iisan_core.config.schema import DeviceChoice
from iisan_core.errors import IisanError

DatasetFolder = Annotated[Path, typer.Argument(help="A dataset folder.")]


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
    from data_tools.captions.caption import caption_items, files_to_caption
    from data_tools.captions.captioner import load_captioner
    from iisan_core.training.device import choose_device

    files_to_caption(dataset, column=field, origin=origin)  # refused before a model of gigabytes is fetched
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
    if last.failures and not last.written and not last.found:
        raise IisanError(f"none of {len(last.failures):,} items could be described; see the notes above")
    note(f"encode them with `iisan extract {dataset} --text … --text-field {field}`")


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
