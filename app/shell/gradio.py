"""`iisan gradio`: a run, put before anyone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.shell.train import RunPath


def gradio(
    run: RunPath,
    run2: Annotated[Path | None, typer.Option(help="Another run of the same dataset, to stand beside it.")] = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 opens the demo to the network.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Unset: the first free one from 7860.")] = None,
    title: Annotated[str | None, typer.Option(help="What stands above the demo.")] = None,
) -> None:
    """Show a run in the browser: compose a history, see recommendations and reasons, bring new items.

    Inference only. Stop it with Ctrl-C.

    Example: iisan gradio workspace/runs/demo
    """
    from app.demo import TITLE, demo_of, launch

    launch(demo_of(run, other=run2, title=title or TITLE), host=host, port=port)
