"""`iisan blend`: finished runs as one."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.commands.console import JsonFlag


def blend(
    runs: Annotated[list[Path], typer.Argument(help="Finished runs of one dataset and protocol, two or more.")],
    run: Annotated[Path, typer.Option(help="Run folder to make.")],
    as_json: JsonFlag = False,
) -> None:
    """Blend finished runs into one: seeds of a model, or different models, each weighed by validation.

    The new run is measured and recommends like any other; why an item scores what it scores, its members say.

    Example: iisan blend workspace/runs/seed0 workspace/runs/seed1 --run workspace/runs/both
    """
    from app.commands.train import show_results, train_with_bar
    from iisan_core.runs.ensemble import ensemble_config
    from iisan_core.runs.run_folder import RunFolder

    train_with_bar(ensemble_config(runs), run, command=shlex.join(["iisan", *sys.argv[1:]]))
    show_results(RunFolder.open(run), as_json=as_json)
