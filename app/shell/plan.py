"""`iisan plan`: what it would cost, before anything is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.planning.encoder import EncoderPlan
from app.planning.plan import Plan
from app.planning.plan import plan as make_plan
from app.shell.output import JsonFlag, note, print_json, print_table
from iisan_core.backbones.loading import Arithmetic
from iisan_core.cache.manifest import CacheSettings, StoredDtype
from iisan_core.config.schema import DeviceChoice, validated
from iisan_core.errors import RefusedError


def plan(
    dataset: Annotated[Path, typer.Argument(help="A dataset folder.")],
    text: Annotated[str | None, typer.Option(help="Text backbone: name, hub id or folder.")] = None,
    image: Annotated[str | None, typer.Option(help="Image backbone: name, hub id or folder.")] = None,
    video: Annotated[str | None, typer.Option(help="Image backbone for the frames of videos.")] = None,
    audio: Annotated[str | None, typer.Option(help="Audio backbone: hub id or folder.")] = None,
    layers: Annotated[str, typer.Option(help="`all`, `even`, `group:7`, `paper:8b`, or numbers.")] = "even",
    dtype: Annotated[StoredDtype, typer.Option(help="How states are stored.")] = "float16",
    text_field: Annotated[list[str] | None, typer.Option(help="Text column; repeat to join several.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Longer texts are cut.")] = 30,
    image_size: Annotated[int | None, typer.Option(help="Pixels; unset: the model's own.")] = None,
    frames: Annotated[int, typer.Option(help="Frames sampled from a video.")] = 8,
    max_seconds: Annotated[int, typer.Option(help="Longer sounds are cut.")] = 30,
    batch_size: Annotated[int, typer.Option(min=1, help="Items at once through the backbone.")] = 64,
    precision: Annotated[Arithmetic, typer.Option(help="Arithmetic of the backbones.")] = "auto",
    preset: Annotated[str, typer.Option(help="Of the training.")] = "default",
    device: Annotated[DeviceChoice, typer.Option(help="Where to compute.")] = "auto",
    probe: Annotated[bool, typer.Option(help="Time backbones that lie here on a sample of the items.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Say what an extraction and a training would take in disk, memory and time, and whether this machine has it.

    Example: iisan plan workspace/datasets/mine --text qwen3-8b --image dinov2-base --layers group:7
    """
    named = {"image": image, "text": text, "video": video, "audio": audio}
    backbones = {modality: name for modality, name in named.items() if name}
    if not backbones:
        raise RefusedError("nothing to plan: name a backbone with --text, --image, --video or --audio")
    fields = {
        "layers": layers,
        "dtype": dtype,
        "text_fields": tuple(text_field or ["title"]),
        "max_tokens": max_tokens,
        "image_size": image_size,
        "frames": frames,
        "max_seconds": max_seconds,
    }
    made = make_plan(
        dataset,
        backbones,
        settings=validated(CacheSettings, fields, where="the plan's settings"),
        preset=preset,
        arithmetic=precision,
        device=device,
        batch_size=batch_size,
        probe=probe,
    )
    if as_json:
        print_json(made.as_record())
    else:
        show(made)


def show(made: Plan) -> None:
    """A table per stage, and the verdict on stderr."""
    columns = ("backbone", "layers", "M parameters", "weights", "to download", "cache", "extraction", "memory")
    print_table(columns, [_row(encoder) for encoder in made.encoders.values()], title=f"{made.items:,} items")
    cost = made.training
    rows = [
        ("trainable parameters", f"{cost.parameters:,}"),
        (
            "an epoch",
            f"{_time(cost.epoch_seconds)} ({cost.steps_per_epoch:,} steps), and {_time(cost.validation_seconds)}",
        ),
        ("memory", f"{_size(cost.memory_bytes)}; cached states in {WHERE[cost.states_where]}"),
        (
            "this machine",
            f"{made.machine.name}, {_size(made.machine.memory_free)} of {_size(made.machine.memory)} free",
        ),
    ]
    print_table(("training", f"preset {made.preset}"), rows)
    for problem in made.problems:
        note(f"does not fit: {problem}")
    if made.fits:
        note("it fits this machine")
    if made.largest_text_encoder:
        note(f"the largest text encoder by name that would fit: {made.largest_text_encoder}")


WHERE = {"device": "the device's memory", "memory": "RAM", "mapped": "the cache's file"}


def _row(encoder: EncoderPlan) -> list[object]:
    took = encoder.extraction
    return [
        encoder.backbone + (" (gated)" if encoder.gated else ""),
        ",".join(map(str, encoder.layers)),
        round(encoder.parameters / 1e6),
        _size(encoder.file_bytes),
        _size(encoder.download_bytes) if encoder.download_bytes else "is here",
        _size(encoder.cache_bytes),
        f"{_time(took.seconds)}, {took.how}",
        _size(encoder.extraction_memory_bytes),
    ]


def _size(count: float) -> str:
    unit, name = next((u, n) for u, n in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if count >= u or u == 1e3)
    return f"{count / unit:.1f} {name}"


def _time(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} hours"
    return (
        f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    )
