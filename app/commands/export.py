"""`iisan export`: a run's vectors and encoders as files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

import iisan_core
from app.commands.console import JsonFlag, note, print_json
from app.commands.options import RunPath

Target: TypeAlias = Literal["parquet", "safetensors", "npy"]


def export(
    run: RunPath,
    to: Annotated[Target, typer.Option("--to", help="What to write.")],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    users: Annotated[bool, typer.Option(help="Write the vectors of all users, too.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Write a run's item and user vectors, and in words how a score is made of them, into a new folder.

    Example: iisan export workspace/runs/demo --to parquet --out vectors
    """
    from iisan_core.serving.vectors import export_vectors

    says = export_vectors(iisan_core.Recommender.load(run), out, to, users=users)
    if as_json:
        print_json(says)
    note(f"wrote {out}; README.md there says what is in it")
