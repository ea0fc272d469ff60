"""`iisan extract`: every item once through frozen backbones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from app.shell.output import JsonFlag, note, print_json
from app.shell.progress import shortened, show_extraction
from app.shell.waiting import NoWait, on_turn
from iisan_core.backbones.base import Backbone
from iisan_core.backbones.loading import Arithmetic, Quantization, load_backbone
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings, StoredDtype
from iisan_core.cache.processes import ProcessGroup
from iisan_core.cache.store import HiddenStateCache
from iisan_core.config.schema import DeviceChoice, Modality, validated
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.runs.workspace import Workspace
from iisan_core.training.device import choose_device


def extract_states(
    dataset: Annotated[Path, typer.Argument(help="A dataset folder.")],
    text: Annotated[str | None, typer.Option(help="Text backbone: hub id, folder, or `minilm`.")] = None,
    image: Annotated[str | None, typer.Option(help="Image backbone: hub id or folder.")] = None,
    video: Annotated[str | None, typer.Option(help="Image backbone for the frames of videos.")] = None,
    audio: Annotated[str | None, typer.Option(help="Audio backbone, such as facebook/hubert-base-ls960.")] = None,
    name: Annotated[
        str | None, typer.Option("--as", help="What runs call these states, such as `caption`; unset: text, image, …")
    ] = None,
    layers: Annotated[str, typer.Option(help="`all`, `even`, `group:7`, or numbers such as 0,6,-1.")] = "even",
    pooling: Annotated[str | None, typer.Option(help="`mean`, `cls` or `last`; unset: the backbone's own.")] = None,
    dtype: Annotated[StoredDtype, typer.Option(help="How states are stored.")] = "float16",
    text_field: Annotated[list[str] | None, typer.Option(help="Text column; repeat to join several.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Longer texts are cut.")] = 30,
    image_size: Annotated[int | None, typer.Option(help="Pixels; unset: the model's own.")] = None,
    frames: Annotated[int, typer.Option(help="Frames sampled from a video.")] = 8,
    max_seconds: Annotated[int, typer.Option(help="Longer sounds are cut.")] = 30,
    batch_size: Annotated[int, typer.Option(min=1, help="Items at once through the backbone.")] = 64,
    precision: Annotated[
        Arithmetic, typer.Option(help="Arithmetic of the backbone; `auto`: bfloat16 beyond a billion parameters.")
    ] = "auto",
    device: Annotated[DeviceChoice, typer.Option(help="Where to compute.")] = "auto",
    device_map: Annotated[
        str | None, typer.Option(help="Spread a model larger than the GPU: `auto`, `balanced`, `sequential`.")
    ] = None,
    quantization: Annotated[Quantization | None, typer.Option(help="Weights by bitsandbytes.")] = None,
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

    A second text beside the title, from its own column, under a name of its own:
    iisan extract workspace/datasets/mine --text minilm --text-field caption --as caption

    Several processes, on one machine or on several that share the workspace, take parts of the work each:
    torchrun --nproc-per-node 4 --no-python iisan extract workspace/datasets/mine --text minilm
    """
    backbones: dict[Modality, str | None] = {"image": image, "text": text, "video": video, "audio": audio}
    wanted = [(kind, backbone) for kind, backbone in backbones.items() if backbone]
    if not wanted:
        raise RefusedError("nothing to extract: name a backbone with --text, --image, --video or --audio")
    if name and len(wanted) > 1:
        raise RefusedError(f"--as {name} can name one backbone's states, and several are named; extract them in turn")
    fields = {
        "modality": name,
        "layers": layers,
        "pooling": pooling,
        "dtype": dtype,
        "text_fields": tuple(text_field or ["title"]),
        "max_tokens": max_tokens,
        "image_size": image_size,
        "frames": frames,
        "max_seconds": max_seconds,
    }
    settings = validated(CacheSettings, fields, where="the extraction's settings")
    if revision and len(wanted) > 1:
        raise RefusedError("--revision is of one model, and two are named; extract them one after the other")
    source = Dataset.load(dataset)
    with on_turn(device, who=f"extract {source.name}", wait=not no_wait):
        load = partial(
            load_backbone,
            compute_dtype=precision,
            device=str(choose_device(device)),
            device_map=device_map,
            quantization=quantization,
            revision=revision,
            trust_remote_code=trust_remote_code,
        )
        folders = [
            cache_states(source, kind, backbone, settings, batch_size=batch_size, load=load)
            for kind, backbone in wanted
        ]
    if as_json and ProcessGroup.here().leads:
        print_json([describe(folder) for folder in folders])


def cache_states(
    dataset: Dataset,
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
    load = load or partial(load_backbone, device=str(choose_device("auto")))
    backbone, called = load(name, kind), settings.modality or kind
    processes, folder = ProcessGroup.here(), Workspace.default().caches(dataset)
    records = extract(dataset, backbone, settings, folder=folder, batch_size=batch_size, processes=processes)
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


def describe(folder: Path) -> dict[str, object]:
    """Facts of a cache, for people and for `--json`."""
    cache = HiddenStateCache.open(folder)
    manifest = cache.manifest
    return {
        "cache": str(folder),
        "modality": manifest.modality,
        "kind": manifest.kind,
        "backbone": manifest.backbone,
        "layers": list(manifest.layers),
        "pooling": manifest.pooling,
        "items": manifest.items - cache.superseded,
        "items_without": len(cache.absent),
        "unreadable": cache.problems,
        "bytes_per_item": manifest.row_bytes,
    }
