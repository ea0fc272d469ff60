"""The console command `iisan`: verbs, and the door at which errors become sentences and exit codes."""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from app.commands.console import note
from app.jobs.stopping import StoppedError, farewell, stoppable
from iisan_core.errors import IisanError

VERBS = (
    "demo", "data", "backbones", "plan", "extract", "cache", "train", "resume", "stop", "finish", "jobs", "submit",
    "evaluate", "recommend", "similar", "explain", "export", "compare", "blend", "study", "bench", "doctor", "app",
    "gradio", "serve", "push", "pull", "import-checkpoint",
)  # fmt: skip
"""In the order of use. Each is a function, or a group of verbs, in the module of its name or one of these."""
MODULES = {"resume": "jobs", "stop": "jobs", "finish": "jobs", "recommend": "use", "similar": "use", "explain": "use",
           "app": "serve", "gradio": "serve", "push": "hub", "pull": "hub",
           "import-checkpoint": "released"}  # fmt: skip

NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
"""What the machine refuses anybody, such as a full disk; no fault of the program, so that a sentence says it all."""


class Verbs(TyperGroup):
    """Imports a verb's module when the verb is called: counting a dataset need not wait for torch."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The verbs, in the order of use."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb `cmd_name`, or None where there is none."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"app.commands.{MODULES.get(cmd_name, cmd_name)}")
        found = getattr(module, cmd_name.replace("-", "_"))
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            alone.command(cmd_name)(found)
            found = alone
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; a signal that stops it ends in a line, which the library would leave out."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stopped:
            note(f"iisan: {farewell(stopped, verb=ctx.invoked_subcommand or '')}")
            raise typer.Exit(stopped.exit_code if isinstance(stopped, StoppedError) else 130) from None

    def within(self, argv: Sequence[str]) -> int:
        """Run a verb within another one and return its exit code; what stops it reaches whoever asked."""
        with self.make_context("iisan", list(argv)) as ctx:
            try:
                super().invoke(ctx)
            except typer.Exit as ended:
                return ended.exit_code
        return 0


cli = typer.Typer(cls=Verbs, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@cli.callback()
def workbench() -> None:
    """Adapt frozen text and image foundation models to sequential recommendation."""


def main() -> None:
    """Run the command; exit 0, 1 (failed) or 2 (refused)."""
    try:
        with stoppable():
            cli()
    except IisanError as error:
        note(f"iisan: {error}")
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in NOT_OURS:
            raise
        note(f"iisan: {error.strerror}{f': {error.filename}' if error.filename else ''}")
        sys.exit(1)


if __name__ == "__main__":
    main()
