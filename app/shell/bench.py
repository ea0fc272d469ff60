"""`iisan bench …`: what the work costs on this machine, as JSON."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from app.bench.extract import bench_extract
from app.bench.random_work import BackboneSizes, Size
from app.bench.serving import bench_rank, bench_recommend
from app.bench.step import bench_step
from app.shell.bench_methods import methods
from app.shell.output import print_json
from iisan_core.config.schema import DeviceChoice, Head, ModelConfig, Precision, TrainingConfig

bench = typer.Typer(no_args_is_help=True, help="Measure speed; prints JSON with medians and spread.")
bench.command("methods")(methods)

Items = Annotated[int, typer.Option(min=2, help="N: items.")]
Users = Annotated[int, typer.Option(min=1, help="U: users.")]
BatchSize = Annotated[int, typer.Option(min=1, help="B: users in a batch.")]
Arithmetic = Annotated[Precision, typer.Option(help="Arithmetic of the networks.")]
Compiled = Annotated[bool, typer.Option("--compile", help="With `training.compile`.")]
Layers = Annotated[int, typer.Option(min=1, help="L: kept layers of each backbone.")]
TextWidth = Annotated[int, typer.Option(min=1, help="D of the text backbone.")]
ImageWidth = Annotated[int, typer.Option(min=1, help="D of the image backbone.")]
Device = Annotated[DeviceChoice, typer.Option(help="Where to compute.")]
Repeats = Annotated[int, typer.Option(min=1, help="Timed calls.")]


@bench.command("step")
def step(
    batch_size: BatchSize = 64,
    precision: Arithmetic = "float32",
    head: Annotated[Head, typer.Option(help="D→E, or D→D→E.")] = "linear",
    compiled: Compiled = False,
    items: Items = Size.items,
    users: Users = Size.users,
    layers: Layers = Size.layers,
    text_width: TextWidth = Size.text_width,
    image_width: ImageWidth = Size.image_width,
    device: Device = "auto",
    repeats: Repeats = 20,
) -> None:
    """Time one training step on random states and sequences; by default Scientific with BERT-base and ViT-base.

    Example: iisan bench step --batch-size 512 --precision bfloat16
    """
    size = Size(items=items, users=users, layers=layers, text_width=text_width, image_width=image_width)
    training = TrainingConfig(batch_size=batch_size, precision=precision, compile=compiled, device=device)
    print_json(bench_step(size, ModelConfig(head=head), training, repeats=repeats))


@bench.command("extract")
def extraction(
    modality: Annotated[Literal["text", "image"], typer.Option(help="What is extracted.")] = "text",
    width: Annotated[int, typer.Option(min=8, help="D of the random backbone.")] = BackboneSizes.text_width,
    depth: Annotated[int, typer.Option(min=1, help="Its layers.")] = BackboneSizes.text_layers,
    items: Annotated[int, typer.Option(min=1, help="Items to extract.")] = 256,
    batch_size: Annotated[int, typer.Option(min=1, help="Items in a batch.")] = 64,
    device: Device = "auto",
) -> None:
    """Time an extraction with a random backbone against its bare forward passes over the same batches.

    Example: iisan bench extract --modality image --items 64
    """
    sizes = BackboneSizes(text_width=width, text_layers=depth, image_width=width, image_layers=depth)
    print_json(bench_extract(modality, sizes, items=items, batch_size=batch_size, device=device))


@bench.command("rank")
def rank(items: Items = Size.items, users: Users = Size.users, device: Device = "auto", repeats: Repeats = 10) -> None:
    """Time the ranking of every user's target among all items.

    Example: iisan bench rank --items 100000
    """
    print_json(bench_rank(Size(items=items, users=users), device=device, repeats=repeats))


@bench.command("recommend")
def recommend(
    items: Items = Size.items,
    users: Users = Size.users,
    k: Annotated[int, typer.Option("-k", min=1, help="How many items each user gets.")] = 10,
    repeats: Repeats = 200,
) -> None:
    """Time recommendations on the CPU: one user at a time, and batches of 1,024 users.

    Example: iisan bench recommend --items 1000000 --repeats 50
    """
    print_json(bench_recommend(Size(items=items, users=users), k=k, repeats=repeats))
