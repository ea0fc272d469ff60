"""`iisan extract`: every item once through frozen backbones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import iisan_core
from app.commands import options
from app.commands.console import JsonFlag, NoWait, note, on_turn, print_json, shortened, show_extraction
from iisan_core.cache.manifest import WITH_TEXT, CacheSettings
from iisan_core.config.schema import Modality
from iisan_core.errors import RefusedError

if TYPE_CHECKING:
    from iisan_core.backbones.base import Backbone


@options.from_fields(CacheSettings, argument="settings", where="the extraction's settings")
def extract(
    dataset: options.DatasetFolder,
    text: options.TextBackbone = None,
    image: options.ImageBackbone = None,
    video: options.VideoBackbone = None,
    audio: options.AudioBackbone = None,
    joint: options.JointBackbone = None,
    *,
    settings: CacheSettings,
    batch_size: options.ItemsAtOnce = 64,
    precision: Annotated[
        options.Arithmetic,
        typer.Option(help="Arithmetic of the backbone; `auto`: bfloat16 beyond a billion parameters."),
    ] = "auto",
    device: options.Device = "auto",
    device_map: Annotated[
        str | None, typer.Option(help="Spread a model larger than the GPU: `auto`, `balanced`, `sequential`.")
    ] = None,
    quantization: Annotated[options.Quantization | None, typer.Option(help="Weights by bitsandbytes.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub; unset: the newest.")] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run the program that the model's repository brings.")
    ] = False,
    no_wait: NoWait = False,
    as_json: JsonFlag = False,
) -> None:
    """Cache the pooled hidden states of the chosen layers; what is there already is reused, what broke off goes on.

    One extraction or training at a time on a device: it waits for its turn.

    Example: iisan extract workspace/datasets/mine --text minilm --image google/vit-base-patch16-224

    Picture and text of an item in one pass of a vision-language model, beside the others or instead of them:
    iisan extract workspace/datasets/mine --joint qwen3-vl-2b

    A second text beside the title, from its own column, under a name of its own:
    iisan extract workspace/datasets/mine --text minilm --text-field caption --as caption

    Several processes, on one machine or on several that share the workspace, take parts of the work each:
    torchrun --nproc-per-node 4 --no-python iisan extract workspace/datasets/mine --text minilm
    """
    from iisan_core.computing.processes import ProcessGroup
    from iisan_core.training.device import choose_device

    named: dict[Modality, str | None] = {"image": image, "text": text, "video": video, "audio": audio}
    named["joint"] = joint
    wanted = options.named_backbones(named, verb="extract")
    if settings.modality and len(wanted) > 1:
        raise RefusedError(
            f"--as {settings.modality} can name one backbone's states, and several are named; extract them in turn"
        )
    if revision and len(wanted) > 1:
        raise RefusedError("--revision is of one model, and two are named; extract them one after the other")
    source = iisan_core.Dataset.load(dataset)
    with on_turn(device, who=f"extract {source.name}", wait=not no_wait):
        load = partial(
            iisan_core.load_backbone,
            compute_dtype=precision,
            device=str(choose_device(device)),
            device_map=device_map,
            quantization=quantization,
            revision=revision,
            trust_remote_code=trust_remote_code,
        )
        folders = [
            cache_states(source, kind, backbone, settings, batch_size=batch_size, load=load)
            for kind, backbone in wanted.items()
        ]
    if as_json and ProcessGroup.here().leads:
        print_json([describe(folder) for folder in folders])


def cache_states(
    dataset: iisan_core.Dataset,
    kind: Modality,
    name: str,
    settings: CacheSettings,
    *,
    batch_size: int = 64,
    load: Callable[[str, Modality], Backbone] | None = None,
) -> Path:
    """Extract with a progress bar into the workspace, together with the processes that torchrun started with this one.

    `load` is by default `load_backbone` onto the best device. Returns the cache's folder.
    """
    from iisan_core.computing.processes import ProcessGroup
    from iisan_core.training.device import choose_device

    load = load or partial(iisan_core.load_backbone, device=str(choose_device("auto")))
    backbone, called = load(name, kind), settings.modality or kind
    processes, folder = ProcessGroup.here(), iisan_core.Workspace.default().caches(dataset)
    records = iisan_core.extract(dataset, backbone, settings, folder=folder, batch_size=batch_size, processes=processes)
    if processes.leads:
        for said in (*backbone.notes, *cut_short(backbone, settings)):
            note(f"{name}: {said}")
    last = show_extraction(records, label=f"{called} states", hidden=not processes.leads)
    if not processes.leads:
        return last.folder
    facts = describe(last.folder)
    how = f"{last.computed:,} items in {last.seconds:.1f} s" if last.computed else "was there already"
    missing = f", {facts['items_without']} items without {called}" if facts["items_without"] else ""
    note(
        f"{called} cache {shortened(last.folder)}: layers {facts['layers']}, {facts['bytes_per_item']:,} bytes an "
        f"item{missing} ({how})"
    )
    return last.folder


def cut_short(backbone: Backbone, settings: CacheSettings) -> Iterator[str]:
    """What is to be said where the model takes fewer tokens than were asked for."""
    most = backbone.most_tokens if backbone.modality in WITH_TEXT else None
    if most is not None and most < settings.max_tokens:
        yield f"texts are cut to {most:,} tokens, for the model takes no more (--max-tokens asked for more)"


def describe(folder: Path) -> dict[str, object]:
    """Facts of a cache, for people and for `--json`."""
    cache = iisan_core.HiddenStateCache.open(folder)
    manifest = cache.manifest
    return {
        "cache": str(folder),
        "modality": manifest.modality,
        "kind": manifest.kind,
        "backbone": manifest.backbone,
        "layers": list(manifest.layers),
        "pooling": manifest.pooling,
        "tokens": manifest.tokens,
        "dtype": manifest.dtype,
        "reading": manifest.reading,
        "prompt": manifest.prompt,
        "items": manifest.items - cache.superseded,
        "items_without": len(cache.absent),
        "unreadable": cache.problems,
        "bytes_per_item": manifest.row_bytes,
    }
