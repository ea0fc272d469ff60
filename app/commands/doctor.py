"""`iisan doctor`: is everything here that the work needs?"""

from __future__ import annotations

from typing import Annotated

import typer

import iisan_core
from app.commands.console import JsonFlag, note, print_json, print_table

SHOWN = {"good": "ok", "missing": "optional", "broken": "BROKEN"}


Mend = Annotated[
    bool,
    typer.Option("--mend", help="Let records of runs, caches and jobs name what lies in the workspace relative to it."),
]


def doctor(mend: Mend = False, as_json: JsonFlag = False) -> None:
    """Look at Python, torch, GPU, memory, disk, optional extras and the workspace; exit code 1 if something is broken.

    Folders that killed jobs left unfinished in the workspace are cleared away.
    A workspace can be moved and copied: what its records name in it is relative to it. Records of before this was so
    name absolute places; they are read, and --mend writes them anew.

    Example: iisan doctor
    """
    from app.planning.health import examine
    from iisan_core.files import clear_unfinished

    workspace = iisan_core.Workspace.default()
    root = workspace.root
    if mend:
        from iisan_core.runs.moved import records_of

        mended = list(records_of(root))
        for record in mended:
            record.mend()
        note(f"{len(mended)} records of runs, caches and jobs now name what lies in {root} relative to it")
    findings = examine(root)
    for shelf in (workspace.datasets, workspace.backbones, workspace.runs, workspace.jobs):
        for path in clear_unfinished(shelf):
            note(f"cleared away {path}, which a killed process left unfinished")
    if as_json:
        print_json([finding.as_record() for finding in findings])
    else:
        rows = [(finding.what, SHOWN[finding.state], finding.found, finding.remedy) for finding in findings]
        print_table(("what", "", "found", "remedy"), rows)
    broken = [finding.what for finding in findings if finding.state == "broken"]
    if broken:
        note(f"iisan: broken: {', '.join(broken)}")
        raise typer.Exit(1)
    note("all that is essential is here")
