"""`iisan bench …`: what the work costs on this machine, as JSON."""

from __future__ import annotations

from typing import Annotated

import typer

from app.shell.bench_methods import methods
from app.shell.output import print_json
from iisan_core.bench.gather import bench_gather
from iisan_core.bench.random_work import Size
from iisan_core.bench.rank import bench_rank
from iisan_core.bench.recommend import bench_recommend
from iisan_core.bench.step import bench_step
from iisan_core.config import DeviceChoice, Head, ModelConfig, Precision, TrainingConfig

bench = typer.Typer(no_args_is_help=True, help="Measure speed; prints JSON with medians and spread.")
bench.command("methods")(methods)

Items = Annotated[int, typer.Option(min=2, help="N: items.")]
Users = Annotated[int, typer.Option(min=1, help="U: users.")]
Device = Annotated[DeviceChoice, typer.Option(help="Where to compute.")]
Repeats = Annotated[int, typer.Option(min=1, help="Timed calls.")]


@bench.command("step")
def step(
    batch_size: Annotated[int, typer.Option(min=1, help="B: users in a batch.")] = 64,
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the networks.")] = "float32",
    head: Annotated[Head, typer.Option(help="D→E, or D→D→E.")] = "linear",
    items: Items = Size.items,
    users: Users = Size.users,
    layers: Annotated[int, typer.Option(min=1, help="L: kept layers of each backbone.")] = Size.layers,
    text_width: Annotated[int, typer.Option(min=1, help="D of the text backbone.")] = Size.text_width,
    image_width: Annotated[int, typer.Option(min=1, help="D of the image backbone.")] = Size.image_width,
    device: Device = "auto",
    repeats: Repeats = 20,
) -> None:
    """Time one training step on random states and sequences; by default Scientific with BERT-base and ViT-base.

    Example: iisan bench step --batch-size 512 --precision bfloat16
    """
    size = Size(items=items, users=users, layers=layers, text_width=text_width, image_width=image_width)
    training = TrainingConfig(batch_size=batch_size, precision=precision, device=device)
    print_json(bench_step(size, ModelConfig(head=head), training, repeats=repeats))


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
    print_json(bench_gather(gigabytes=gigabytes, rows=rows))
