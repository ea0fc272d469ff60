"""`iisan evaluate`: whom a run serves how well."""

from __future__ import annotations

from typing import Annotated

import typer

import iisan_core
from app.commands.console import (
    CsvFlag,
    JsonFlag,
    MarkdownFlag,
    OutOption,
    chosen_form,
    note,
    say_what_they_mean,
    show_figures,
)
from app.commands.options import By, RunPath, Subset
from iisan_core.runs.run_folder import RunFolder


def evaluate(
    run: RunPath,
    k: Annotated[
        list[int] | None, typer.Option("--k", help="Cut-off; repeatable. Unset: 5, 10, 20, 50, and 10 with --beyond.")
    ] = None,
    by: Annotated[
        By | None, typer.Option(help="Groups: popularity of the target, length of the history, repeated target.")
    ] = None,
    groups: Annotated[int, typer.Option(help="How many groups of about equal size.")] = 5,
    subset: Annotated[Subset, typer.Option(help="Which targets.")] = "test",
    part: Annotated[Subset | None, typer.Option(hidden=True, help="What --subset was called.")] = None,
    repeats: Annotated[
        bool, typer.Option("--repeats", help="Rank items of the history, too: repeat purchases count.")
    ] = False,
    intervals: Annotated[bool, typer.Option("--intervals", help="95 % bootstrap intervals over users.")] = False,
    beyond: Annotated[
        bool,
        typer.Option(
            "--beyond", help="Add coverage, Gini, novelty, popularity, diversity and cold items of the first ten."
        ),
    ] = False,
    anew: Annotated[
        bool, typer.Option("--anew", help="Encode items and users with the best weights instead of reading the ranks.")
    ] = False,
    csv: CsvFlag = False,
    markdown: MarkdownFlag = False,
    as_json: JsonFlag = False,
    out: OutOption = None,
) -> None:
    """HR, NDCG and MRR × 100 over the full catalogue, for all users and groups of them.

    Example: iisan evaluate workspace/runs/demo --by popularity --k 10 --beyond
    """
    from iisan_core.evaluation.lists import BEYOND, K
    from iisan_core.evaluation.metrics import DEFAULT_KS

    form = chosen_form(csv=csv, markdown=markdown, as_json=as_json, out=out)
    folder, subset, ranks = RunFolder.open(run), part or subset, None
    if anew:
        from iisan_core.runs.results import rank_anew

        ranks = rank_anew(folder, on_left_out=note)
    table = iisan_core.evaluate(
        folder,
        ks=tuple(k) if k else (K,) if beyond else DEFAULT_KS,
        by=by,
        groups=groups,
        subset=subset,
        repeats=repeats,
        intervals=intervals,
        beyond=beyond,
        ranks=ranks,
    )
    show_figures(table, form=form, out=out, hidden=("run", "part", "protocol"), title=f"{folder.name}: {subset}, × 100")
    note(table["protocol"][0])
    if beyond:
        say_what_they_mean(BEYOND)
