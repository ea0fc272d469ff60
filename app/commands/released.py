"""`iisan import-checkpoint`: what the authors' programs trained, as a run of ours."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.commands.console import JsonFlag, note, shortened
from app.commands.options import Settings


def import_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="The file that the authors' program wrote, such as epoch-30.pt.")],
    dataset: Annotated[Path, typer.Option(help="The dataset folder that it was trained on.")],
    run: Annotated[Path, typer.Option(help="Run folder to make.")],
    cache: Annotated[
        list[Path] | None, typer.Option(help="The caches of pictures and of texts; unset: the dataset's only ones.")
    ] = None,
    activation: Annotated[
        Literal["relu", "gelu"], typer.Option(help="Inside the side networks; the tensors do not say it.")
    ] = "relu",
    setting: Settings = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a run of a checkpoint of the authors' cached programs, IISAN or IISAN-Versa, and measure it.

    Only tensors are read; nothing of the file is run. Widths, blocks and the length of histories are the tensors' own;
    which cached layers it read may have to be said with --set model.layers.text=0,2,4,6,8,10,12.

    Example: iisan import-checkpoint epoch-30.pt --dataset workspace/datasets/sci --run workspace/runs/theirs
    """
    from app.commands.train import config_of, show_results
    from iisan_core.runs.released import import_checkpoint as imported

    config = config_of(dataset, cache, "paper-amazon", [f"model.activation={activation}", *(setting or [])])
    made = imported(checkpoint, config, run, command=shlex.join(["iisan", *sys.argv[1:]]))
    note(f"run {shortened(made.path)} imported from {checkpoint.name}")
    show_results(made, as_json=as_json)
