"""`iisan doctor`: is everything here that the work needs?"""

from __future__ import annotations

import typer

from app.planning.health import Finding, examine
from app.shell.output import JsonFlag, note, print_json, print_table
from iisan_core.runs.workspace import Workspace

SHOWN = {"good": "ok", "missing": "optional", "broken": "BROKEN"}


def doctor(as_json: JsonFlag = False) -> None:
    """Look at Python, torch, GPU, memory, disk, optional extras and the workspace; exit code 1 if something is broken.

    Example: iisan doctor
    """
    findings = examine(Workspace.default().root)
    if as_json:
        print_json([finding.as_record() for finding in findings])
    else:
        print_table(("what", "", "found", "remedy"), [_row(finding) for finding in findings])
    broken = [finding.what for finding in findings if finding.state == "broken"]
    if broken:
        note(f"iisan: broken: {', '.join(broken)}")
        raise typer.Exit(1)
    note("all that is essential is here")


def _row(finding: Finding) -> list[object]:
    return [finding.what, SHOWN[finding.state], finding.found, finding.remedy]
