"""`iisan app`, `iisan gradio` and `iisan serve`: the workbench in a browser, a run put before anyone, or programs."""

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


def serve(
    run: RunPath,
    run2: Annotated[Path | None, typer.Argument(help="Another run, asked for by its folder's name.")] = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 opens the service to the network; it takes a token then.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(help="A file with the token that every request must show; unset: $IISAN_TOKEN, else none."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes; they share the runs' files in memory, but keep no new items.")
    ] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of each process, for one product; unset: its share of the processors.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for a body to come, and for an answer.")] = 10.0,
) -> None:
    """Answer programs over HTTP: recommendations, similar items, reasons, new items, metrics.

    The token is read from a file or the environment, never from the command line, which everybody can read. SIGHUP,
    or POST /admin/reload, loads the run folders anew without a pause. /openapi.json says what can be asked.

    Example: iisan serve workspace/runs/demo --port 8000
    """
    from app.api.server import Options, read_token
    from app.api.server import serve as served

    runs = (run,) if run2 is None else (run, run2)
    token = read_token(token_file)
    options = Options(runs=runs, host=host, port=port, token=token, workers=workers, threads=threads, seconds=timeout)
    served(options, said=note)
