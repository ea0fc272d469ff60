"""`iisan app`: the workbench in a browser."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.shell.output import note
from iisan_core.runs.workspace import VARIABLE

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
