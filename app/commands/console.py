"""How the shell speaks: tables, facts and figures to stdout; notes, progress and waiting to stderr.

Like every module of the verbs it imports libraries where they are used: help texts need none.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

import typer

from iisan_core.config.schema import DeviceChoice
from iisan_core.errors import RefusedError
from iisan_core.files import write_text
from iisan_core.training.events import EpochEnded, Event, Progress, TrainingEnded

if TYPE_CHECKING:
    import polars as pl
    from tqdm import tqdm

    from iisan_core.cache.extract import ExtractionProgress

JsonFlag = Annotated[bool, typer.Option("--json", help="Print facts as JSON.")]
CsvFlag = Annotated[bool, typer.Option("--csv", help="Print the table as CSV, all figures in full.")]
MarkdownFlag = Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Write the CSV, Markdown or JSON there instead.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Refuse, instead of waiting, if the device is taken.")]

Form: TypeAlias = Literal["people", "csv", "markdown", "json"]
Record = TypeVar("Record")


def note(sentence: str) -> None:
    """A line on stderr for whoever watches."""
    typer.echo(sentence, err=True)


def say_what_they_mean(figures: Iterable[str]) -> None:
    """Figures beside accuracy in plain words, on stderr."""
    from iisan_core.evaluation.lists import BEYOND

    for name in figures:
        note(f"{name}: {BEYOND[name]}")


def print_json(value: Any) -> None:
    """Facts as indented JSON on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """A readable table on stdout; numbers stand right, text of the data is shown as it is."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    listed = [list(row) for row in rows]
    table = Table(header_style="bold")
    for i, column in enumerate(columns):
        numeric = all(isinstance(row[i], int | float) for row in listed)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        table.add_row(*(Text(_shown(cell)) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 160)
    if title:
        console.print(Text(title, style="italic"))
    console.print(table)


def _shown(cell: object) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:.2f}"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def shortened(path: Path) -> str:
    """A path relative to the current folder where it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(path)


def chosen_form(*, csv: bool, markdown: bool, as_json: bool, out: Path | None) -> Form:
    """The form that the flags ask for; raises `RefusedError` for two at once, or a file without a form."""
    flags: dict[Form, bool] = {"csv": csv, "markdown": markdown, "json": as_json}
    chosen = [form for form, given in flags.items() if given]
    if len(chosen) > 1:
        raise RefusedError("give one of --csv, --markdown, --json: one call prints one table in one form")
    if out is not None and not chosen:
        raise RefusedError(f"--out {out}: say in which form, with --csv, --markdown or --json")
    return chosen[0] if chosen else "people"


def show_figures(
    table: pl.DataFrame, *, form: Form, out: Path | None, hidden: tuple[str, ...] = (), title: str = ""
) -> None:
    """Print `table`, or write it to `out`; people are spared the columns `hidden`."""
    if form == "people":
        shown = for_people(table, hidden=hidden)
        print_table([name.replace("_", " ") for name in shown.columns], shown.iter_rows(), title=title)
        return
    text = _as_text(table, form, hidden)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
        note(f"wrote {out}")


def for_people(table: pl.DataFrame, *, hidden: tuple[str, ...] = ()) -> pl.DataFrame:
    """The same figures to be read: with their spread in one cell, sizes in MiB, without the columns `hidden`."""
    import polars as pl

    from iisan_core.experiments.tables import with_spread

    shown = with_spread(table).drop(hidden, strict=False)
    sizes = [name for name in shown.columns if name.endswith("_bytes")]
    return shown.with_columns((pl.col(sizes) / 2**20).round().cast(pl.Int64)).rename(
        {name: name.removesuffix("bytes") + "MiB" for name in sizes}
    )


def _as_text(table: pl.DataFrame, form: Form, hidden: tuple[str, ...]) -> str:
    from iisan_core.experiments.tables import as_markdown

    if form == "csv":
        return table.write_csv()
    if form == "markdown":
        return as_markdown(for_people(table, hidden=hidden))
    return json.dumps(table.to_dicts(), indent=2, ensure_ascii=False) + "\n"


def watched(
    records: Iterable[Record],
    show: Callable[[tqdm[Any], Record], None],
    *,
    label: str = "",
    unit: str,
    total: float | None = None,
    hidden: bool = False,
) -> Record:
    """Go through what the library yields under a progress bar, which `show` moves; returns the last record.

    There is no bar where `hidden`, or where stderr is no terminal.
    """
    from tqdm import tqdm

    last: Record | None = None
    with tqdm(desc=label, total=total, unit=unit, disable=hidden or None) as bar:
        for last in records:
            show(bar, last)
    assert last is not None, "whatever is watched ends with a record"
    return last


def show_extraction(records: Iterable[ExtractionProgress], *, label: str, hidden: bool = False) -> ExtractionProgress:
    """Show an extraction as it goes, unless another process does; returns its last record."""
    from app.jobs.work import report_steps

    def show(bar: tqdm[Any], record: ExtractionProgress) -> None:
        bar.total = record.total
        bar.update(record.done - bar.n)
        report_steps(label, done=record.done, total=record.total)

    return watched(records, show, label=label, unit="item", hidden=hidden)


def show_training(events: Iterable[Event], *, epochs: int, label: str, hidden: bool = False) -> TrainingEnded:
    """Show a training as it goes, unless another process does: loss, HR@10, the time left; returns how it ended."""

    def show(bar: tqdm[Any], event: Event) -> None:
        match event:
            case Progress():
                bar.update(event.epoch - 1 + event.step / event.steps - bar.n)
                bar.set_postfix_str(f"loss {event.loss:.3f}", refresh=False)
            case EpochEnded():
                best = f"best {event.best_hr10:.2f} at {event.best_epoch}"
                bar.set_description_str(f"{label}: valid HR@10 {event.valid['HR@10']:.2f} ({best})")

    ended = watched(events, show, label=label, unit="epoch", total=epochs, hidden=hidden)
    assert isinstance(ended, TrainingEnded), "a training ends with a record that says so"
    return ended


def told_that_it_waits(ahead: list[str]) -> None:
    """Say on stderr who is ahead in the queue of a device."""
    note(f"queued behind {', '.join(ahead)}; starts by itself (Ctrl-C or `iisan stop` leaves the queue)")


@contextmanager
def on_turn(
    device: DeviceChoice, *, who: str, wait: bool = True, first: AbstractContextManager[object] | None = None
) -> Iterator[None]:
    """Within the block this process has `device` for itself, and each that torchrun started with it has its own.

    They take them one after the other, so that of two such groups one waits for the other, never each for the other.
    The processes of one machine share its processor, which the first of them takes. `first`: what the first of all
    enters in place of its device's queue, as it takes the device itself.
    """
    from app.jobs.devices import device_key
    from app.jobs.queue import turn
    from iisan_core.computing.processes import ProcessGroup

    processes, key = ProcessGroup.here(), device_key(device)
    shared = key == "cpu" and os.environ.get("LOCAL_RANK", "0") != "0"
    with ExitStack() as held:
        for rank in range(processes.count):
            if rank == processes.rank and first is not None and processes.leads:
                held.enter_context(first)
            elif rank == processes.rank and not shared:
                held.enter_context(turn(key, who=who, wait=wait, on_wait=told_that_it_waits))
            processes.wait()
        yield
