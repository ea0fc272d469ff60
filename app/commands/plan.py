"""`iisan plan`: what it would cost, before anything is downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.commands import options
from app.commands.console import JsonFlag, note, print_json, print_table
from app.extraction_options import PLANNED
from iisan_core.cache.manifest import CacheSettings

if TYPE_CHECKING:
    from app.planning.encoder import EncoderPlan
    from app.planning.plan import Plan


@options.from_fields(CacheSettings, argument="settings", where="the plan's settings", fields=PLANNED)
def plan(
    dataset: options.DatasetFolder,
    text: options.TextBackbone = None,
    image: options.ImageBackbone = None,
    video: options.VideoBackbone = None,
    audio: options.AudioBackbone = None,
    joint: options.JointBackbone = None,
    *,
    settings: CacheSettings,
    batch_size: options.ItemsAtOnce = 64,
    precision: options.BackbonePrecision = "auto",
    preset: Annotated[str, typer.Option(help="Of the training.")] = "default",
    device: options.Device = "auto",
    probe: Annotated[bool, typer.Option(help="Time backbones that lie here on a sample of the items.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Say what an extraction and a training would take in disk, memory and time, and whether this machine has it.

    Example: iisan plan workspace/datasets/mine --text qwen3-8b --image dinov2-base --layers group:7
    """
    from app.planning.plan import plan as planned

    named = {"image": image, "text": text, "video": video, "audio": audio, "joint": joint}
    backbones = options.named_backbones(named, verb="plan")
    made = planned(
        dataset,
        backbones,
        settings=settings,
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
    epoch = f"{_time(cost.epoch_seconds)} ({cost.steps_per_epoch:,} steps), and {_time(cost.validation_seconds)}"
    machine = made.machine
    rows = [
        ("trainable parameters", f"{cost.parameters:,}"),
        ("an epoch", epoch),
        ("memory", f"{_size(cost.memory_bytes)}; cached states in {WHERE[cost.states_where]}"),
        ("this machine", f"{machine.name}, {_size(machine.memory_free)} of {_size(machine.memory)} free"),
    ]
    print_table(("training", f"preset {made.preset}"), rows)
    for encoder in made.encoders.values():
        if encoder.cut_to:
            note(f"{encoder.backbone} takes {encoder.cut_to:,} tokens of a text at most, so texts are cut there")
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
