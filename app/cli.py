"""The console command `iisan`: verbs, and the door at which errors become sentences and exit codes."""

from __future__ import annotations

import sys

import typer

from app.shell.bench import bench
from app.shell.data import data
from app.shell.demo import demo
from app.shell.extract import extract_states
from app.shell.output import note
from app.shell.train import resume, stop, train
from app.shell.use import compare, evaluate, recommend
from iisan_core.errors import IisanError

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Adapt frozen text and image foundation models to sequential recommendation.",
)
cli.command("demo")(demo)
cli.add_typer(data, name="data")
cli.command("extract")(extract_states)
cli.command("train")(train)
cli.command("resume")(resume)
cli.command("stop")(stop)
cli.command("evaluate")(evaluate)
cli.command("recommend")(recommend)
cli.command("compare")(compare)
cli.add_typer(bench, name="bench")


def main() -> None:
    """Run the command; exit 0, 1 (failed) or 2 (refused)."""
    try:
        cli()
    except IisanError as error:
        note(f"iisan: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        note("iisan: interrupted")
        sys.exit(130)
