"""`iisan bench …`: what the work costs on this machine, as JSON."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import typer

from app.commands.bench_methods import methods
from app.commands.console import print_json
from app.commands.options import DEPTH, ITEMS, LAYERS, USERS, WIDTH, Device, from_fields
from iisan_core.config.schema import Head, ModelConfig, TrainingConfig

bench = typer.Typer(no_args_is_help=True, help="Measure speed; prints JSON with medians and spread.")
bench.command("methods")(methods)

Items = Annotated[int, typer.Option(min=2, help="N: items.")]
Users = Annotated[int, typer.Option(min=1, help="U: users.")]
Layers = Annotated[int, typer.Option(min=1, help="L: kept layers of each backbone.")]
TextWidth = Annotated[int, typer.Option(min=1, help="D of the text backbone.")]
ImageWidth = Annotated[int, typer.Option(min=1, help="D of the image backbone.")]
Repeats = Annotated[int, typer.Option(min=1, help="Timed calls.")]

FIELDS = ("batch_size", "precision", "device")
training_options = partial(from_fields, TrainingConfig, argument="training", where="the settings of what is timed")


@bench.command("step")
@training_options(fields=(*FIELDS, "compile"))
def step(
    *,
    training: TrainingConfig,
    head: Annotated[Head, typer.Option(help="D→E, or D→D→E.")] = "linear",
    items: Items = ITEMS,
    users: Users = USERS,
    layers: Layers = LAYERS,
    text_width: TextWidth = WIDTH,
    image_width: ImageWidth = WIDTH,
    repeats: Repeats = 20,
) -> None:
    """Time one training step on random states and sequences; by default Scientific with BERT-base and ViT-base.

    Example: iisan bench step --batch-size 512 --precision bfloat16
    """
    from app.bench.random_work import Size
    from app.bench.training import bench_step

    size = Size(items=items, users=users, layers=layers, text_width=text_width, image_width=image_width)
    print_json(bench_step(size, ModelConfig(head=head), training, repeats=repeats))


@bench.command("epoch")
@training_options(fields=(*FIELDS, "compile"))
def epoch(
    *,
    training: TrainingConfig,
    items: Items = ITEMS,
    users: Users = USERS,
    layers: Layers = LAYERS,
    text_width: TextWidth = WIDTH,
    image_width: ImageWidth = WIDTH,
    repeats: Repeats = 3,
) -> None:
    """Time whole epochs on random states and sequences, and measure the memory that training takes.

    Example: iisan bench epoch --text-width 8192 --batch-size 64
    """
    from app.bench.random_work import Size
    from app.bench.training import bench_epoch

    size = Size(items=items, users=users, layers=layers, text_width=text_width, image_width=image_width)
    print_json(bench_epoch(size, ModelConfig(), training, repeats=repeats))


@bench.command("scaling")
@training_options(fields=FIELDS, defaults={"batch_size": 512, "precision": "bfloat16"})
def scaling(*, training: TrainingConfig, items: Items = ITEMS, users: Users = USERS, repeats: Repeats = 1) -> None:
    """Time epochs at 1, 4 and 16 times the users and ranking at 1, 4 and 16 times the items; fit the exponents.

    Example: iisan bench scaling --users 3000
    """
    from app.bench.random_work import Size
    from app.bench.training import bench_scaling

    print_json(bench_scaling(Size(items=items, users=users), ModelConfig(), training, repeats=repeats))


@bench.command("extract")
def extraction(
    modality: Annotated[Literal["text", "image"], typer.Option(help="What is extracted.")] = "text",
    width: Annotated[int, typer.Option(min=8, help="D of the random backbone.")] = WIDTH,
    depth: Annotated[int, typer.Option(min=1, help="Its layers.")] = DEPTH,
    items: Annotated[int, typer.Option(min=1, help="Items to extract.")] = 256,
    batch_size: Annotated[int, typer.Option(min=1, help="Items in a batch.")] = 64,
    device: Device = "auto",
) -> None:
    """Time an extraction with a random backbone against its bare forward passes over the same batches.

    Example: iisan bench extract --modality image --items 64
    """
    from app.bench.extract import bench_extract
    from app.bench.random_work import BackboneSizes

    sizes = BackboneSizes(text_width=width, text_layers=depth, image_width=width, image_layers=depth)
    print_json(bench_extract(modality, sizes, items=items, batch_size=batch_size, device=device))


@bench.command("rank")
def rank(items: Items = ITEMS, users: Users = USERS, device: Device = "auto", repeats: Repeats = 10) -> None:
    """Time the ranking of every user's target among all items.

    Example: iisan bench rank --items 100000
    """
    from app.bench.random_work import Size
    from app.bench.serving import bench_rank

    print_json(bench_rank(Size(items=items, users=users), device=device, repeats=repeats))


@bench.command("recommend")
def recommend(
    items: Items = ITEMS,
    users: Users = USERS,
    k: Annotated[int, typer.Option("-k", min=1, help="How many items each user gets.")] = 10,
    repeats: Repeats = 200,
) -> None:
    """Time recommendations on the CPU: one user at a time, and batches of 1,024 users.

    Example: iisan bench recommend --items 1000000 --repeats 50
    """
    from app.bench.random_work import Size
    from app.bench.serving import bench_recommend

    print_json(bench_recommend(Size(items=items, users=users), k=k, repeats=repeats))


@bench.command("gather")
def gather(
    gigabytes: Annotated[
        float, typer.Option(min=0.01, help="Size of the cache, 10⁹ bytes each; none is written.")
    ] = 10,
    rows: Annotated[int, typer.Option(min=1, help="How many random rows.")] = 4096,
) -> None:
    """Open a large cache in a fresh process and gather random rows: seconds and resident memory. Linux only.

    Example: iisan bench gather --gigabytes 100
    """
    from app.bench.gather import bench_gather

    print_json(bench_gather(gigabytes=gigabytes, rows=rows))
