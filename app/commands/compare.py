"""`iisan compare`: runs side by side, with what is chance and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
from iisan_core import experiments
from iisan_core.errors import RefusedError
from iisan_core.runs.run_folder import RunFolder

if TYPE_CHECKING:
    import polars as pl

HIDDEN = ("protocol", "batch_size", "device")
"""Columns that CSV and JSON have, but no table for people."""

SHARED = ("dataset", "seed", "seeds")
"""What leaves no room for figures beside accuracy."""


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    metric: Annotated[list[str] | None, typer.Option(help="Metric such as NDCG@20; repeatable.")] = None,
    sort: Annotated[str, typer.Option(help="Column to sort by, the best first; unset: the first test metric.")] = "",
    intervals: Annotated[bool, typer.Option("--intervals", help="95 % bootstrap intervals over users.")] = False,
    seeds: Annotated[bool, typer.Option("--seeds", help="Runs that differ in the seed only as one row.")] = False,
    against: Annotated[
        Path | None, typer.Option(help="Differences to this run instead, user by user, with 95 % intervals.")
    ] = None,
    beyond: Annotated[
        bool, typer.Option("--beyond", help="Add coverage, Gini, novelty, popularity, diversity, cold items.")
    ] = False,
    with_tpme: Annotated[bool, typer.Option("--tpme", help="Add TPME over the runs given.")] = False,
    differences: Annotated[
        bool, typer.Option("--differences", help="Settings in which the runs differ instead.")
    ] = False,
    csv: CsvFlag = False,
    markdown: MarkdownFlag = False,
    as_json: JsonFlag = False,
    out: OutOption = None,
) -> None:
    """Finished runs in one table, best test HR@10 first; what cannot be read is named and left out.

    Example: iisan compare workspace/runs/* --intervals
    """
    from iisan_core.evaluation.lists import BEYOND, OF_USERS
    from iisan_core.experiments.leaderboard import COSTS, METRICS_SHOWN, best_first

    form = chosen_form(csv=csv, markdown=markdown, as_json=as_json, out=out)
    views = {"--against": against is not None, "--differences": differences}
    for flag, given in {"--sort": bool(sort), "--tpme": with_tpme, "--intervals": intervals}.items():
        _refuse_together(views | {flag: given})
    _refuse_together({"--seeds": seeds, "--intervals": intervals, "--differences": differences})
    _refuse_together({"--metric": bool(metric), "--differences": differences})
    _refuse_together({"--beyond": beyond, "--differences": differences})
    found, metrics = _readable(runs), tuple(metric or METRICS_SHOWN)
    if differences:
        show_figures(experiments.config_differences(found), form=form, out=out)
        return
    if beyond:
        metrics = tuple(dict.fromkeys((*metrics, *(BEYOND if against is None else OF_USERS))))
    if against is not None:
        show_figures(_paired(found, RunFolder.open(against), metrics, seeds), form=form, out=out)
        return
    if seeds:
        rows = experiments.seed_table(found, metrics=metrics)
    else:
        rows = experiments.leaderboard(found, metrics=metrics, intervals=intervals)
    table = best_first(experiments.tpme(rows) if with_tpme else rows, sort or f"test_{metrics[0]}")
    hidden = [*HIDDEN, *(f"valid_{name}" for name in metrics[1:])]
    if beyond:
        hidden += [f"valid_{metrics[0]}", *SHARED, *(() if with_tpme else COSTS)]
    show_figures(table, form=form, out=out, hidden=tuple(hidden))
    _say_what_they_share(table, with_tpme)
    beside = [name for name in metrics if name in BEYOND]
    if beside:
        say_what_they_mean(beside)
        _say_who_lacks_them(found)


def _readable(paths: list[Path]) -> list[RunFolder]:
    found = experiments.readable_runs(paths)
    for path, fault in found.left_out.items():
        note(f"left out {path}: {fault}")
    if not found.runs:
        raise RefusedError(f"none of {len(found.left_out)} folders is a finished run; see the notes above")
    return found.runs


def _paired(runs: list[RunFolder], against: RunFolder, metrics: tuple[str, ...], seeds: bool) -> pl.DataFrame:
    """Differences to one run or, with `seeds`, to the mean over the seeds of its configuration."""
    from iisan_core.experiments.leaderboard import seed_groups

    if not seeds:
        others = [run for run in runs if run.path.resolve() != against.path.resolve()]
        _refuse_alone(others, against)
        return experiments.paired_differences(others, against=against, metrics=metrics)
    everybody = {run.path.resolve(): run for run in (*runs, against)}
    groups = seed_groups(list(everybody.values()))
    own = next(group for group in groups if against.path.resolve() in [run.path.resolve() for run in group])
    rest = [group for group in groups if group is not own]
    _refuse_alone(rest, against)
    return experiments.paired_differences(rest, against=own, metrics=metrics)


def _refuse_alone(others: list[RunFolder] | list[list[RunFolder]], against: RunFolder) -> None:
    if not others:
        raise RefusedError(f"--against {against.path}: there is no other run to hold against it; name at least one")


def _refuse_together(flags: dict[str, bool]) -> None:
    given = [name for name, is_given in flags.items() if is_given]
    if len(given) > 1:
        raise RefusedError(f"{' and '.join(given)} do not go together; call iisan compare once for each")


def _say_what_they_share(table: pl.DataFrame, with_tpme: bool) -> None:
    """Protocol and data on stderr: figures mean nothing without."""
    from iisan_core.experiments.leaderboard import WEIGHTS

    if table["dataset"].n_unique() > 1:
        note("these runs are of different datasets: their figures cannot be compared with each other")
    protocols = table["protocol"].unique(maintain_order=True).to_list()
    if len(protocols) > 1:
        note("these runs have different protocols: their figures cannot be compared with each other")
    for protocol in protocols:
        note(f"× 100; {protocol}")
    if with_tpme:
        names = ", ".join(table.drop_nulls("tpme")["run"])
        weights = ", ".join(f"{name.replace('_', ' ')} {weight:.2f}" for name, weight in WEIGHTS.items())
        note(f"TPME, lower is better, depends on its set: {names}; weights: {weights}")


def _say_who_lacks_them(runs: Sequence[RunFolder]) -> None:
    """Which runs have no figures beside accuracy, and how to get them."""
    for run in runs:
        if "beyond" not in run.results():
            note(
                f"{run.name} was trained before figures beside accuracy were measured; see them with "
                "`iisan evaluate RUN --beyond --anew`, or train it again"
            )
