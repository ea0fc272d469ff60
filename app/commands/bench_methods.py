"""`iisan bench methods`: what each way of adapting backbones costs, and what it gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from app.commands.console import JsonFlag, note, print_json, print_table
from app.commands.options import DEPTH, ITEMS, PIXELS, TOKENS, USERS, WIDTH, from_fields
from app.commands.train import config_from_file
from iisan_core.config.schema import DeviceChoice, Method, MethodOptions, Precision, TrainingConfig
from iisan_core.errors import RefusedError

if TYPE_CHECKING:
    import polars as pl

METHODS: tuple[Method, ...] = get_args(Method)

SHOWN = ("method", "seconds_per_epoch", "trainable_parameters", "peak_memory_bytes", "reserved_memory_bytes",
         "test_HR@10", "test_NDCG@10", "tpme")  # fmt: skip
OF_RANDOM_WORK = ("batch_size", "precision", "device", "items", "users", "text_layers", "text_width", "tokens",
                  "image_layers", "image_width", "image_size")  # fmt: skip
"""Options that mean nothing to the work of a configuration."""


@from_fields(
    MethodOptions,
    argument="adapting",
    where="the options of the methods",
    fields=("learning_rate", "lora_rank", "adapter_bottleneck", "gradient_checkpointing"),
)
def methods(
    ctx: typer.Context,
    method: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(METHODS)}; repeatable; unset: all.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A run's config.yaml: its data and backbones; unset: random ones.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Change one value of --config; repeatable.")
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="Train to the end, for HR@10; needs --config.")] = False,
    steps: Annotated[int, typer.Option(min=1, help="Timed steps where nothing is trained to the end.")] = 3,
    warmup: Annotated[int, typer.Option(min=0, help="Steps before those.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="B of random work.")] = 8,
    precision: Annotated[Precision, typer.Option(help="Arithmetic of random work.")] = "float32",
    device: Annotated[DeviceChoice, typer.Option(help="Where random work is computed.")] = "auto",
    items: Annotated[int, typer.Option(min=2, help="N of random work.")] = ITEMS,
    users: Annotated[int, typer.Option(min=1, help="U of random work.")] = USERS,
    text_layers: Annotated[int, typer.Option(min=1, help="Layers of the random BERT.")] = DEPTH,
    text_width: Annotated[int, typer.Option(min=1, help="Its width.")] = WIDTH,
    tokens: Annotated[int, typer.Option(min=2, help="Tokens of a text.")] = TOKENS,
    image_layers: Annotated[int, typer.Option(min=1, help="Layers of the random ViT.")] = DEPTH,
    image_width: Annotated[int, typer.Option(min=1, help="Its width.")] = WIDTH,
    image_size: Annotated[int, typer.Option(min=16, help="Side of a picture in pixels.")] = PIXELS,
    *,
    adapting: MethodOptions,
    html: Annotated[Path | None, typer.Option(help="Write figure and table to this file, too.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare cached IISAN with what it replaces: seconds per epoch, memory, parameters, TPME and, if asked, HR@10.

    Every method works on the same batches with the same loss, each in a process of its own. Without --config the
    backbones are BERT-base and ViT-base with random weights; a few steps are timed and the epoch is extrapolated.

    Example: iisan bench methods --config workspace/runs/demo/config.yaml --train --html methods.html
    """
    from app.bench.methods import RandomTask, RealTask, measure_methods, methods_table
    from app.bench.random_work import BackboneSizes

    sizes = BackboneSizes(
        text_layers=text_layers, text_width=text_width, tokens=tokens,
        image_layers=image_layers, image_width=image_width, image_size=image_size,
    )  # fmt: skip
    if config is None and (train or setting):
        raise RefusedError("random work has nothing to learn and no settings; give --config with a run's config.yaml")
    training = TrainingConfig(batch_size=batch_size, precision=precision, device=device)
    work: RealTask | RandomTask = RandomTask(items=items, users=users, backbones=sizes, training=training)
    if config is not None:
        _refuse_beside_config(ctx)
        work = RealTask(config=config_from_file(config, setting or []).with_absolute_paths())
    chosen: list[Method] = method or list(METHODS)  # type: ignore[assignment]
    figures = []
    for found in measure_methods(work, methods=chosen, train=train, options=adapting, steps=steps, warmup=warmup):
        note(f"{found['method']}: {found['seconds_per_epoch']:.4g} s per epoch")
        figures.append(found)
    _show(methods_table(figures), html=html, as_json=as_json)


def _refuse_beside_config(ctx: typer.Context) -> None:
    """A configuration says itself what would otherwise be random work."""
    given = [name for name in OF_RANDOM_WORK if _is_typed(ctx, name)]
    if given:
        named = ", ".join("--" + name.replace("_", "-") for name in given)
        raise RefusedError(f"{named}: of random work only; change a value of --config with --set group.key=value")


def _is_typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _show(table: pl.DataFrame, *, html: Path | None, as_json: bool) -> None:
    said = _said(table)
    shown = table.select(name for name in SHOWN if name in table.columns and table[name].null_count() < table.height)
    if html is not None:
        from app.charts.page import write_page
        from app.charts.runs import efficiency_figure

        write_page(html, efficiency_figure(table), shown, title="What each method costs", notes=said)
        note(f"wrote {html}")
    if as_json:
        print_json({"bench": "methods", "set": table["method"].to_list(), "note": said, "methods": table.to_dicts()})
        return
    print_table(shown.columns, shown.iter_rows())
    note(said)


def _said(table: pl.DataFrame) -> str:
    """What the figures hold for: the data, the device, and the set that TPME is over."""
    first = table.row(0, named=True)
    sentence = (
        f"{first['dataset']}; batch {first['batch_size']}, {first['precision']}; {first['device']}; memory: "
        f"{first['memory_of']}. TPME over the set {', '.join(table['method'])}."
    )
    if first["extrapolated"]:
        sentence += f" Seconds per epoch are extrapolated from {first['steps']} steps of {first['steps_per_epoch']:,}."
    return sentence
