"""`iisan study`: grids of configurations, each ending in one table and one chart."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import iisan_core
from app.commands import console
from app.commands.options import SPACES, DatasetFolder, Settings
from app.commands.options import STUDIES as NAMES
from app.commands.search import SearchOptions, keep_winner, preset_name, searched, trials_for_people
from app.commands.train import config_of
from iisan_core.config.presets import preset_names
from iisan_core.errors import RefusedError
from iisan_core.files import checked, read_object
from iisan_core.training.events import EpochEnded, TrainingEnded

if TYPE_CHECKING:
    import polars as pl
    from tqdm import tqdm

    from iisan_core.experiments.run_study import StudyProgress
    from iisan_core.experiments.study import Study

SEARCH, TRIALS = "search", "trials.csv"

HIDDEN = ("valid_HR@10", "valid_NDCG@10", "runs", "peak_memory_bytes")
"""Columns that only CSV and JSON have."""


def study(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(NAMES)}.")],
    dataset: DatasetFolder,
    cache: Annotated[
        list[Path] | None,
        typer.Option(
            help="A hidden-state cache, one per modality (for scaling: all that compete); unset: all there are."
        ),
    ] = None,
    preset: Annotated[str, typer.Option(help=f"Starting point: {', '.join(preset_names())}.")] = "default",
    setting: Settings = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of every configuration.")] = 3,
    folder: Annotated[
        Path | None, typer.Option(help="Where runs and table lie; unset: named in the workspace.")
    ] = None,
    uncached_epochs: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of asymmetric: epochs of its rows `cached` and `uncached`, 1 if unset. The backbones run in every "
            "step of the latter, for hours an epoch where they are large or there is no GPU; 0 leaves both rows out.",
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(help=f"Of search: what it may change, {', '.join(SPACES)}, or a YAML file; unset: rates."),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Of search: the most trials; unset: 30.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Of search: begin no trial after so many.")] = None,
    save_as: Annotated[
        str | None, typer.Option(help="Of search: name of the winner's preset; unset: of the dataset.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write chart and table there, as a page of its own.")] = None,
    csv: console.CsvFlag = False,
    markdown: console.MarkdownFlag = False,
    as_json: console.JsonFlag = False,
    out: console.OutOption = None,
) -> None:
    """Train a grid of configurations, skip what is done, and end in one table: mean ± deviation over the seeds.

    `search` tries configurations of a space by validation, and trains the best and the starting point with all seeds.

    Example: iisan study ablation workspace/datasets/demo --preset demo --seeds 2
    """
    from app.jobs.devices import device_key
    from app.jobs.queue import turn
    from iisan_core.experiments.run_study import run_study
    from iisan_core.experiments.tables import ABOUT, read_table

    form = console.chosen_form(csv=csv, markdown=markdown, as_json=as_json, out=out)
    place = folder or iisan_core.Workspace.default().runs / f"{name}-{iisan_core.Dataset.load(dataset).name}"
    options = SearchOptions(space, trials, minutes, save_as)
    if name == SEARCH:
        base = config_of(dataset, cache, preset, setting or [])
        kept_as, records = preset_name(options, base, place), searched(base, options, place, seeds=range(seeds))
    else:
        options.refuse_all(name)
        grid = _grid(name, dataset, cache, preset, setting or [], uncached_epochs=uncached_epochs)
        base, records = grid.rows[0].config, run_study(grid, place, seeds=range(seeds))
    device = device_key(base.training.device)
    with turn(device, who=f"study {name}", on_wait=console.told_that_it_waits):
        last = console.watched(records, _show, unit="run")
    if isinstance(last.event, TrainingEnded) and last.event.reason == "stopped":
        console.note(f"study {name} was stopped; the same command goes on with it")
        return
    table = read_table(place)
    about = read_object(checked(place / ABOUT), what="study")
    said = _said(about)
    console.show_figures(table, form=form, out=out, hidden=HIDDEN, title=about["question"])
    console.note(f"{said}. Runs and the table lie in {console.shortened(place)}")
    if name == SEARCH:
        console.note(keep_winner(place, kept_as))
    if html:
        _write_html(html, place, table, title=about["question"], notes=f"{said}.")
        console.note(f"wrote {html}")


def _write_html(file: Path, place: Path, table: pl.DataFrame, *, title: str, notes: str) -> None:
    """Chart and table; of a search the trials, too."""
    from app.charts.page import Table, write_page, write_report
    from app.charts.studies import search_chart, study_chart

    shown = console.for_people(table, hidden=HIDDEN)
    if not (place / TRIALS).exists():
        write_page(file, study_chart(table), shown, title=title, notes=notes)
        return
    trials = trials_for_people(place)
    tables = {
        name: Table([c.replace("_", " ") for c in t.columns], t.rows())
        for name, t in {"Finalists, all seeds": shown, "Trials, by validation": trials}.items()
    }
    charts = {"Trials": search_chart(trials), "Finalists": study_chart(table)}
    write_report(file, title=title, charts=charts, tables=tables, notes=notes)


def _grid(
    name: str,
    dataset: Path,
    caches: list[Path] | None,
    preset: str,
    settings: list[str],
    *,
    uncached_epochs: int | None,
) -> Study:
    from iisan_core.experiments.designs import STUDIES, asymmetric, scaling

    if name not in NAMES or name == SEARCH:
        raise RefusedError(f"no study {name!r}; there are {', '.join(NAMES)}")
    if name != "asymmetric" and uncached_epochs is not None:
        raise RefusedError(f"--uncached-epochs is of the study asymmetric; {name} trains nothing uncached")
    if name != "scaling":
        base = config_of(dataset, caches, preset, settings)
        return STUDIES[name](base) if uncached_epochs is None else asymmetric(base, uncached_epochs=uncached_epochs)
    competing = _competing(iisan_core.Dataset.load(dataset), caches)
    return scaling(config_of(dataset, [folders[0] for folders in competing.values()], preset, settings), competing)


def _competing(dataset: iisan_core.Dataset, caches: list[Path] | None) -> dict[str, list[Path]]:
    """Modality → caches to choose from, in fusion order."""
    from iisan_core.runs.workspace import in_fusion_order

    complete = iisan_core.Workspace.default().complete_caches(dataset)
    found: dict[str, list[Path]] = {}
    for folder, manifest in complete.items():
        if not caches or folder.resolve() in [cache.resolve() for cache in caches]:
            found.setdefault(manifest.modality, []).append(folder)
    order = in_fusion_order({modality: folders[0] for modality, folders in found.items()})
    return {modality: found[modality] for modality in order}


def _said(about: dict[str, Any]) -> str:
    """What the figures are, and which rows are not among them."""
    seeds = about["seeds"]
    over = f"mean ± deviation over seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]} alone"
    left_out = "".join(f"; without {row}: {reason}" for row, reason in about["left_out"].items())
    return f"× 100, {over}; {about['protocol']}{left_out}"


def _show(bar: tqdm[Any], record: StudyProgress) -> None:
    """One record of a study under its progress bar."""
    from app.jobs.work import report_steps

    bar.total = record.total
    if record.left_out:
        bar.write(f"left out {record.run}: {record.left_out}", file=sys.stderr)
        return
    report_steps(record.run, done=record.number - 1, total=record.total)
    bar.set_description_str(record.run, refresh=False)
    if isinstance(record.event, EpochEnded):
        reached = f"epoch {record.event.epoch}, valid HR@10 {record.event.valid['HR@10']:.2f}"
        bar.set_postfix_str(reached, refresh=False)
    done = record.event is None or isinstance(record.event, TrainingEnded)
    bar.update(record.number - (not done) - bar.n)
