"""`iisan app` and `iisan gradio`: the workbench in a browser, and a run put before anyone."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.commands.console import note
from app.commands.options import VARIABLE, RunPath

MAIN = Path(__file__).parents[1] / "main.py"


def app(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8501,
    workspace: Annotated[
        Path | None, typer.Option(help=f"Workspace folder; unset: ${VARIABLE}, else ./workspace.")
    ] = None,
) -> None:
    """Serve the workbench to this machine's browsers; Ctrl+C ends it, jobs that it started go on.

    Example: iisan app --port 8600
    """
    if workspace is not None:
        os.environ[VARIABLE] = str(workspace.absolute())
    note(f"open http://localhost:{port} in a browser")
    command = [sys.executable, "-m", "streamlit", "run", str(MAIN), "--server.port", str(port)]
    os.execv(sys.executable, command)


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
